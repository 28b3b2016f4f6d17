"""What the command line can do: a file for each mode, which the Python API calls as well.

The files whose first line names no mode are steps of several.
"""

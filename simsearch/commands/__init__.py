"""What the command line can do, one file a mode; the Python API calls the same functions."""

"""Other forms of what the models compute, for XLA:CPU is slow at the plain ones.

Each gives the same but for rounding; its file says what it gains. On other platforms the plain
forms are traced, so that all of this could go on the day that XLA:CPU is fast.
"""

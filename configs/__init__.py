"""Configurations: `train.py` lists every field, the others override."""

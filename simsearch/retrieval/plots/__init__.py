"""Pictures of an evaluation: the only door to matplotlib, which is never imported before drawing."""

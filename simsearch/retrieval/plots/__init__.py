"""Pictures of an evaluation: the only door to matplotlib, imported when something is drawn."""

"""Everything that is drawn: the only door to matplotlib, imported when something is drawn."""

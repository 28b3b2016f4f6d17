"""LanceDB in a folder as the engine of an index."""

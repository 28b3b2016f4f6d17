"""The web page and the REST API over an index."""

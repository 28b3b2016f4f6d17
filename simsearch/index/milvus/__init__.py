"""A Milvus server as the engine of an index."""

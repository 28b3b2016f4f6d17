"""Retrieval: embeddings, nearest neighbours, figures of merit and pictures of them."""

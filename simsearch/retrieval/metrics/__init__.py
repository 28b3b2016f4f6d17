"""Figures of merit of embeddings, one idea a file."""

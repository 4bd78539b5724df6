"""CLIP embeddings of pairs."""

"""Search over embeddings: the faiss index and clip-retrieval's layout."""

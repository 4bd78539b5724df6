"""Training data: batches, caches, streams."""

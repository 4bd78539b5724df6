"""Score once, decide in SQL: scorers, policy, verdicts, duplicates, embeddings and the published dataset."""

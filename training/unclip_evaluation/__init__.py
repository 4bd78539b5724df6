"""Evaluation: how near, how right and how new the pictures of a bundle are."""

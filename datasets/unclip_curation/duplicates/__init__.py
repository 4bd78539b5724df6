"""Duplicates inside a home, and leaks of evaluation sets."""

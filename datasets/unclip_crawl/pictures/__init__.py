"""Fetched pictures: bounds, rights metadata and the list of known-illegal hashes."""

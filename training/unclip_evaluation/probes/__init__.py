"""Probes: linear classifiers of concept and style, learned from a dataset version's own pictures."""

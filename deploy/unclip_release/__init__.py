"""Releases: one bundle of all stages, gates that return objections, aliases that move, and the walk back."""

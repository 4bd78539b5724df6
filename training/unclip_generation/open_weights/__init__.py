"""Weights that others have trained, in diffusers' format: what may be in a folder, and how it paints."""

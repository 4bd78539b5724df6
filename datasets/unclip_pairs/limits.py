"""Limits of a picture, whoever brings it: how many bytes it may have, and how many pixels."""

MAX_PIXELS = 50_000_000
MAX_BYTES = 20 * 2**20

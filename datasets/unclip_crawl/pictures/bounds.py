"""Bounds: what a picture may be, and how it is stored."""

from dataclasses import dataclass

STORE_FORMATS = ("png", "jpeg", "source")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a picture may be, and the longest side and the format it is stored with."""

    max_pixels: int
    min_side: int
    store_size: int
    store_format: str = "png"

"""This file is pictures on their way in: fetched bytes become one small PNG, or the reason why not."""

import hashlib
from dataclasses import dataclass

from PIL import Image

from unclip_pairs.images import DecodeError, decode, encode_png


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a picture may be, and the longest side it is stored with."""

    max_pixels: int
    min_side: int
    store_size: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A picture as it is stored, with what is known of its original."""

    png: bytes
    sha256: str
    byte_count: int
    original_width: int
    original_height: int
    width: int
    height: int


def prepare(data: bytes, bounds: Bounds) -> Prepared:
    """RGB, longest side at most `store_size` (never enlarged), as PNG; `DecodeError` names the status when the bytes will not do."""
    try:
        image = decode(data, bounds.max_pixels)
    except DecodeError:
        raise
    except Exception as error:  # hostile bytes may break a decoder in any way, and that is no reason to end a crawl
        raise DecodeError("decode_error", f"{type(error).__name__}: {error}") from error
    width, height = image.size
    if min(width, height) < bounds.min_side:
        raise DecodeError("too_small", f"{width} x {height} has a side under {bounds.min_side} pixels")
    image.thumbnail((bounds.store_size, bounds.store_size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Prepared(
        png=encode_png(image, level=1),
        sha256=hashlib.sha256(data).hexdigest(),
        byte_count=len(data),
        original_width=width,
        original_height=height,
        width=image.width,
        height=image.height,
    )

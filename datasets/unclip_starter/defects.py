"""Pictures that are planted: damaged, blank, huge, changed copies, and patterns that stand in for explicit ones.

Nothing explicit is ever made or stored. The stand-ins are five abstract patterns in many variations; a block list holds their PDQ hashes,
as the lists of known illegal pictures hold theirs.
"""

import io
import struct
import zlib

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from unclip_pairs.images import decode, encode_png, to_array

PATTERNS = 5
BOMB_SIDE = 8_000
COPIES = ("recompressed", "smaller", "brighter", "mirrored", "darker", "webp")


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near_copy(data: bytes, number: int) -> tuple[bytes, str]:
    """A slightly changed copy of a picture and its file extension; the change goes through `COPIES`."""
    image = decode(data)
    match COPIES[number % len(COPIES)]:
        case "recompressed":
            return _saved(image, "JPEG", quality=60 + number % 25), "jpg"
        case "smaller":
            return encode_png(image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS), level=3), "png"
        case "brighter":
            return encode_png(ImageEnhance.Brightness(image).enhance(1.06), level=3), "png"
        case "mirrored":
            return encode_png(ImageOps.mirror(image), level=3), "png"
        case "darker":
            return encode_png(ImageEnhance.Brightness(image).enhance(0.93), level=3), "png"
        case _:
            return _saved(image, "WEBP", quality=75, method=2), "webp"


def broken_picture(data: bytes, number: int) -> bytes:
    """Bytes under a picture's name that are none: the first part of one, or a web page."""
    if number % 3 == 2:
        return b"<!DOCTYPE html><html><body><h1>Session expired</h1><p>Please sign in again.</p></body></html>"
    # a PNG of a flat drawing holds its picture in few bytes, so the cut must come early
    return data[: max(60, len(data) * (30 + number % 20) // 100)]


def blank_picture(number: int, size: int) -> bytes:
    """A picture of one colour, some with noise that no eye sees."""
    rng = np.random.default_rng(number)
    base = rng.integers(0, 256, 3) if number % 3 else np.full(3, 255)
    pixels = np.broadcast_to(base, (size, size, 3)) + (rng.integers(-1, 2, (size, size, 3)) if number % 2 else 0)
    return encode_png(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), level=1)


def bomb_picture(number: int) -> bytes:
    """A small PNG of more than 50 million pixels: one grey bit each, all the same, written row by row without building it."""
    side = BOMB_SIDE + 8 * number
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pattern(number: int, size: int) -> NDArray[np.float64]:
    """[size, size, 3] in 0..255: broad blots, which the hash sees, under a fine chequer or grating, which the eye sees."""
    rng = np.random.default_rng(1_000 + number)
    blots = Image.fromarray(rng.random((18, 18)).astype(np.float32) * 255).resize((size, size), Image.Resampling.BICUBIC)
    y, x = np.mgrid[0:size, 0:size] / size
    period = 8 + 3 * number
    waves = (
        np.sin(2 * np.pi * period * x) * np.sin(2 * np.pi * period * y) if number % 2 else np.sin(2 * np.pi * period * (x + y * number / 4))
    )
    grey = 0.75 * np.asarray(blots, dtype=np.float64) + 0.25 * (np.sign(waves) * 60 + 128)
    return grey[..., None] * np.array([1.0, 0.9, 0.8 - 0.1 * number])


def stand_in(number: int, size: int) -> bytes:
    """The number-th variation: one of the patterns with its own noise, contrast and size."""
    rng = np.random.default_rng(number)
    side = size - int(rng.integers(0, size // 8 + 1))
    pixels = _pattern(number % PATTERNS, side) * rng.uniform(0.9, 1.0) + rng.normal(0, rng.uniform(2, 10), (side, side, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return _saved(image, "JPEG", quality=int(rng.integers(75, 95)))


def block_list(size: int) -> dict[str, list[dict[str, str]]]:
    """The patterns' PDQ hashes: {"hashes": [{"pdq": 64 hex digits, "label": name}]}."""
    hashes = list[dict[str, str]]()
    for number in range(PATTERNS):
        image = Image.fromarray(_pattern(number, size).clip(0, 255).astype(np.uint8))
        bits, _ = pdqhash.compute(to_array(image))
        hashes.append({"pdq": np.packbits(np.asarray(bits, dtype=np.uint8)).tobytes().hex(), "label": f"stand-in pattern {number}"})
    return {"hashes": hashes}

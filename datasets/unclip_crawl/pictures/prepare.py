"""Pictures on their way in: fetched bytes become one small picture, or the reason why not."""

import hashlib
import io
import threading
from dataclasses import dataclass

from PIL import ExifTags, Image

from unclip_crawl.pictures.bounds import Bounds
from unclip_crawl.pictures.hash_list import HashList
from unclip_crawl.pictures.rights import Rights, read_rights
from unclip_pairs.images import DecodeError, encode_png, open_header, unpack

JPEG_QUALITY = 95
# of pictures with more pixels only one is unpacked at a time: 50 million are 150 MB, and twice that for a moment
LARGE_PIXELS = 8_000_000
# a picture is first made smaller by the largest whole factor that leaves enough (a JPEG's 2, 4 or 8 while it is unpacked, the rest by
# averaging), and only then resampled: as near to a slow Lanczos of everything as averaging alone, within half a decibel (PSNR)
REDUCING_GAP = 1.0
UPRIGHT = 1
LISTED = "a hash of it is on the operator's list"
_large = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A picture as it is stored, its format as a shard's extension, and what is known of its original."""

    data: bytes
    extension: str
    sha256: str
    byte_count: int
    original_width: int
    original_height: int
    width: int
    height: int
    rights: Rights


def prepare(data: bytes, bounds: Bounds, hash_list: HashList | None = None) -> Prepared:
    """RGB, longest side at most `store_size` (never enlarged), as PNG or JPEG; `DecodeError` names the status of what is not stored.

    The hash list is asked first about the bytes, whatever they are, and then about the unpacked picture, before it is made smaller.
    """
    if hash_list is not None and hash_list.lists_bytes(data):
        raise DecodeError("listed_hash", LISTED)
    try:
        return _prepared(data, bounds, hash_list)
    except DecodeError:
        raise
    except Exception as error:  # hostile bytes may break a decoder in any way, and that is no reason to end a crawl
        raise DecodeError("decode_error", f"{type(error).__name__}: {error}") from error


def _prepared(data: bytes, bounds: Bounds, hash_list: HashList | None) -> Prepared:
    packed = open_header(data, bounds.max_pixels)
    source, (width, height), rights = packed.format, packed.size, read_rights(data, packed)
    if min(width, height) < bounds.min_side:
        raise DecodeError("too_small", f"{width} x {height} has a side under {bounds.min_side} pixels")
    if width * height > LARGE_PIXELS:
        with _large:
            image, is_turned = _small(packed, bounds.store_size, hash_list)
    else:
        image, is_turned = _small(packed, bounds.store_size, hash_list)
    extension = "png" if bounds.store_format == "png" or (bounds.store_format == "source" and source != "JPEG") else "jpg"
    return Prepared(
        data=encode_png(image, level=1) if extension == "png" else _jpeg(image),
        extension=extension,
        sha256=hashlib.sha256(data).hexdigest(),
        byte_count=len(data),
        original_width=height if is_turned else width,
        original_height=width if is_turned else height,
        width=image.width,
        height=image.height,
        rights=rights,
    )


def _small(packed: Image.Image, size: int, hash_list: HashList | None) -> tuple[Image.Image, bool]:
    """The picture within `size`, and whether EXIF turned it on its side; an upright JPEG is unpacked small if no list must see it."""
    before, part = packed.size, None
    wanted = _within(before, size)
    if hash_list is None and packed.getexif().get(ExifTags.Base.Orientation, UPRIGHT) == UPRIGHT:
        drafted = packed.draft("RGB", wanted)
        part = drafted[1] if drafted is not None else None
    image = unpack(packed)
    if hash_list is not None and hash_list.lists_picture(image):
        raise DecodeError("listed_hash", LISTED)
    is_turned = before[0] != before[1] and image.size == before[::-1]
    if is_turned:
        wanted = wanted[1], wanted[0]
    if image.size != wanted:
        image = image.resize(wanted, Image.Resampling.LANCZOS, box=part, reducing_gap=REDUCING_GAP)
    return image, is_turned


def _within(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """The sides at the same ratio, the longest at most `size`."""
    share = min(1.0, size / max(sides))
    return max(1, round(sides[0] * share)), max(1, round(sides[1] * share))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()

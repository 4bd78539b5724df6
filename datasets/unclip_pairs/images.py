"""Pictures: bytes in, checked before they are unpacked, RGB out."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from unclip_pairs.limits import MAX_BYTES, MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
WHITE = (255, 255, 255)


class DecodeError(ValueError):
    """Bytes that are no usable picture; `reason` is one of `unclip_pairs.schema.STATUSES`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The picture with its header read and its bounds checked, no pixel unpacked yet."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DecodeError("not_an_image", f"{len(data)} bytes that are neither PNG, JPEG, WebP nor GIF") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError("too_many_pixels", str(error)) from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise DecodeError("decode_error", str(error)) from error
    if image.width * image.height > max_pixels:
        raise DecodeError("too_many_pixels", f"{image.width} x {image.height} is more than {max_pixels} pixels")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """RGB, with transparent parts white."""
    if image.mode.startswith("I"):
        # 16-bit grey would be clipped, not scaled, by convert
        image = Image.fromarray((np.asarray(image, dtype=np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    ground = Image.new("RGB", rgba.size, WHITE)
    ground.paste(rgba, mask=rgba.getchannel("A"))
    return ground


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame as RGB, turned as its EXIF says, transparency on white.

    `DecodeError` with reason too_large, too_many_pixels, not_an_image or decode_error; sizes are checked before pixels are unpacked.
    """
    return unpack(open_header(data, max_pixels))


def open_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture with its size and format known and its pixels still packed; `DecodeError` as in `decode`."""
    if len(data) > MAX_BYTES:
        raise DecodeError("too_large", f"{len(data)} bytes are more than {MAX_BYTES}")
    return _opened(data, max_pixels)


def unpack(image: Image.Image) -> Image.Image:
    """The pixels of what `open_header` gave, as in `decode`."""
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _on_white(image)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error) as error:
        raise DecodeError("decode_error", str(error)) from error


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """`size` x `size`: the longest side is resized to `size`, the rest filled with white."""
    if image.size == (size, size):
        return image
    return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color=WHITE)


def encode_png(image: Image.Image, level: int = 6) -> bytes:
    """PNG bytes without metadata; `level` 1 is quick, 9 is small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 of shape [height, width, 3], values 0..255, a copy one may write to."""
    return np.array(image.convert("RGB"), dtype=np.uint8)


def contact_sheet(rows: Sequence[Sequence[Image.Image]], labels: Sequence[str] | None = None, tile: int = 128) -> Image.Image:
    """One RGB picture with a tile per picture and, when given, one label above each row."""
    assert labels is None or len(labels) == len(rows)
    head, gap = (16 if labels is not None else 0), 4
    columns = max((len(row) for row in rows), default=1)
    sheet = Image.new("RGB", (columns * (tile + gap) + gap, len(rows) * (tile + head + gap) + gap), WHITE)
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        top = gap + r * (tile + head + gap)
        if labels is not None:
            draw.text((gap, top + 1), labels[r].encode("latin-1", "replace").decode("latin-1"), fill=(40, 40, 40))
        for c, image in enumerate(row):
            sheet.paste(fit_square(image.convert("RGB"), tile), (gap + c * (tile + gap), top + head))
    return sheet

"""Tests of decoding: bounds before pixels, orientation, transparency."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from unclip_pairs.images import DecodeError, contact_sheet, decode, encode_png, fit_square, to_array
from unclip_pairs.limits import MAX_BYTES
from unclip_pairs.schema import STATUSES


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size it has no pixels for."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"


def reason(data: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason in STATUSES
    return caught.value.reason


def test_png_comes_back_pixel_for_pixel() -> None:
    assert np.array_equal(to_array(decode(encode_png(noise()))), to_array(noise()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_other_formats_become_rgb(kind: str) -> None:
    image = decode(encoded(noise(), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", "not_an_image"), (b"<html>no</html>" * 9, "not_an_image"), (b"0" * (MAX_BYTES + 1), "too_large")]
)
def test_bytes_that_are_no_picture_have_a_reason(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_cut_off_pictures_are_decode_errors(kind: str) -> None:
    data = encoded(noise(400, 300), kind)
    assert reason(data[: len(data) // 2]) == "decode_error"


@pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    assert reason(png_header(side, side)) == "too_many_pixels"


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert to_array(decode(encode_png(clear))).min() == 255
    palette = noise().quantize(8)
    palette.info["transparency"] = 0
    assert decode(encoded(palette, "PNG", transparency=0)).mode == "RGB"


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert to_array(decode(encoded(grey, "PNG"))).max() == 0x80


def test_a_picture_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(noise(), "JPEG", exif=exif)).size == (30, 40)


def test_fit_square_pads_with_white() -> None:
    square = to_array(fit_square(Image.new("RGB", (40, 20), (9, 9, 9)), 32))
    assert square.shape == (32, 32, 3)
    assert square[0].min() == 255 and square[16].max() == 9


def test_a_contact_sheet_holds_rows_of_unequal_length() -> None:
    sheet = contact_sheet([[noise()] * 3, [noise()]], ["one", "zwei 🙂"], tile=20)
    assert sheet.size == (3 * 24 + 4, 2 * 40 + 4)

"""Augmentation: a picture as a painter might have meant it, a little moved, mirrored, scaled and softened."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SCALES = (0.75, 1.15)
SHIFT = 0.08  # of the side, at most
BLUR = (0.5, 2.0)  # radius in pixels at 128 px
QUALITY = (40, 90)  # of JPEG
BORDER = 4  # pixels whose median is what moves in from outside


def augmented(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]: the picture mirrored, scaled by 0.75 to 1.15, moved by 8 % at most, blurred, a JPEG: each at times."""
    side, image = len(picture), Image.fromarray(picture)
    if generator.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = round(side * generator.uniform(*SCALES))
    across, down = ((side - pixels) // 2 + int(generator.integers(-round(side * SHIFT), round(side * SHIFT) + 1)) for _ in range(2))
    moved = Image.new("RGB", image.size, border_colour(picture))
    moved.paste(image.resize((pixels, pixels), Image.Resampling.LANCZOS), (across, down))
    if generator.random() < 0.7:
        moved = moved.filter(ImageFilter.GaussianBlur(generator.uniform(*BLUR)))
    return np.asarray(_as_jpeg(moved, int(generator.integers(*QUALITY))) if generator.random() < 0.5 else moved)


def border_colour(picture: NDArray[np.uint8], width: int = BORDER) -> tuple[int, int, int]:
    """The median colour of the strip along the border."""
    red, green, blue = (int(value) for value in np.median(border(picture, width), axis=0))
    return red, green, blue


def border(picture: NDArray[np.uint8], width: int = BORDER) -> NDArray[np.uint8]:
    """uint8 [N, 3]: the pixels of the strip along the border."""
    strips = (picture[:width], picture[-width:], picture[width:-width, :width], picture[width:-width, -width:])
    return np.concatenate([strip.reshape(-1, 3) for strip in strips])


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer, formats=("JPEG",)).convert("RGB")

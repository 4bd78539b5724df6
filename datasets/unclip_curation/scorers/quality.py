"""Quality scorer: blur, and the traces that JPEG leaves.

Emptiness (contrast, entropy, flat share) is the picture scorer's. Blur and blockiness are measured at one scale, longest side `SIDE`,
so that one threshold serves small and large pictures; nothing is enlarged.
"""

import io
import re
from functools import cache
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from unclip_curation.schemas import QUALITY_SCHEMA
from unclip_curation.scorers.pictures import picture
from unclip_curation.scorers.runner import Row, Score, Scorer, each
from unclip_pairs.images import DecodeError
from unclip_pairs.shards import Sample, picture_bytes

SIDE = 256
_BLOCK = 8
_JPEG = re.compile(rb"^\xff\xd8\xff")


def sharpness(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., 2000) of brightness 0..255; the inner pixels, of which there must be some."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner).var())


def blockiness(grey: NDArray[np.float32]) -> float:
    """How much larger the steps across the borders of 8 x 8 blocks are than those within blocks: 0 means not at all, 1 twice as large.

    The smaller of both directions, because an upright line in the picture is no block.
    """
    return max(0.0, min(_steps(grey), _steps(grey.T)))


def _steps(grey: NDArray[np.float32]) -> float:
    if grey.shape[1] < 3 * _BLOCK:
        return 0.0
    steps = np.abs(np.diff(grey, axis=1)).mean(axis=0)
    border = np.arange(len(steps)) % _BLOCK == _BLOCK - 1
    return float(steps[border].mean() / max(steps[~border].mean(), 0.25) - 1)


def jpeg_quality(data: bytes) -> int | None:
    """libjpeg's quality 1..100 of a JPEG, estimated from its luminance quantisation table; None for bytes that are no JPEG."""
    if not _JPEG.match(data):
        return None
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    if not image.quantization:
        return None
    table = sum(image.quantization[min(image.quantization)])
    return min(range(1, 101), key=lambda quality: abs(_table_sums()[quality - 1] - table))


@cache
def _table_sums() -> list[int]:
    """The sum of the luminance table that libjpeg writes at each quality 1..100, by asking it."""
    sums, pixel = list[int](), Image.new("L", (8, 8))
    for quality in range(1, 101):
        buffer = io.BytesIO()
        pixel.save(buffer, "JPEG", quality=quality)
        written = Image.open(buffer, formats=("JPEG",))
        assert isinstance(written, JpegImagePlugin.JpegImageFile)
        sums.append(sum(written.quantization[0]))
    return sums


class PixelQuality(TypedDict):
    """The columns of `QUALITY_SCHEMA` that pixels give."""

    sharpness: float
    blockiness: float


def measure_quality(image: Image.Image) -> PixelQuality:
    """The columns of `QUALITY_SCHEMA` that pixels give."""
    scale = max(image.size) / SIDE
    small = (
        image
        if scale <= 1
        else image.resize((max(1, round(image.width / scale)), max(1, round(image.height / scale))), Image.Resampling.BOX)
    )
    fine = np.asarray(small.convert("L"), dtype=np.float32)
    # blocks are where the encoder put them: a resized picture has none left to find
    whole = fine if small is image else np.asarray(image.convert("L"), dtype=np.float32)
    return {"sharpness": sharpness(fine), "blockiness": blockiness(whole)}


def score_quality(sample: Sample) -> Row:
    """One row of `QUALITY_SCHEMA`; a picture that cannot be decoded has no values."""
    try:
        measured = measure_quality(picture(sample))
    except DecodeError:
        return {"key": sample["__key__"]}
    return {"key": sample["__key__"]} | measured | {"jpeg_quality": jpeg_quality(picture_bytes(sample))}


def load_quality() -> Score:
    """The batch function of the quality scorer."""
    return each(score_quality)


QUALITY = Scorer(
    name="quality",
    version=1,
    schema=QUALITY_SCHEMA,
    load=load_quality,
    about="sharpness, block artefacts, JPEG quality",
    cost="1 ms a picture",
)

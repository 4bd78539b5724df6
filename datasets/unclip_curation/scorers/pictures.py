"""Picture scorer: what pixels say about size, emptiness and likeness to other pictures."""

import hashlib
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.schemas import GRID, PICTURE_SCHEMA
from unclip_curation.scorers.runner import Row, Score, Scorer, each
from unclip_curation.similarity.hashes import HASHED_SIDE, pdq, pdq_turns
from unclip_pairs.images import DecodeError, decode, open_header, to_array, unpack
from unclip_pairs.shards import Sample, picture_bytes


class PictureMeasures(TypedDict):
    """The columns of `PICTURE_SCHEMA` but `key` of a picture that can be decoded."""

    decode_status: str
    entropy: float
    contrast: float
    flat_share: float
    pixels_sha256: str
    pdq: bytes
    pdq_mirrored: bytes
    pdq_quality: int
    pdq_turns: bytes
    grid: bytes


class Fingerprint(TypedDict):
    """What tells an encoded picture apart; `pixels_sha256` is None where pixels were not asked for."""

    sha256: str
    pixels_sha256: str | None
    pdq_turns: bytes
    pdq_quality: int
    grid: bytes


def measure(image: Image.Image) -> PictureMeasures:
    """The columns of `PICTURE_SCHEMA` but `key`: entropy in bits (0..8) and standard deviation (0..128) of the brightness, the share
    of pixels (0..1) in the most frequent of 4,096 colours, digest of the pixels, PDQ of the picture and of its mirror image as lists of
    known pictures hold it, PDQ in all eight orientations for the search for duplicates, and a 16 x 16 grid of mean colours."""
    pixels = to_array(image)
    grey = image.convert("L")
    hashed, quality = pdq(pixels)
    return {
        "decode_status": "ok",
        "entropy": grey.entropy(),
        "contrast": float(np.asarray(grey).std()),
        "flat_share": flat_share(pixels),
        "pixels_sha256": pixels_digest(image),
        "pdq": hashed,
        "pdq_mirrored": pdq(pixels[:, ::-1])[0],
        "pdq_quality": quality,
        "pdq_turns": pdq_turns(image)[0],
        "grid": np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX)).tobytes(),
    }


def fingerprint(data: bytes, pixels: bool = True) -> Fingerprint:
    """What tells an encoded picture apart, as `likeness.as_pictures` reads it but for its key; `DecodeError` as in `decode`.

    Without `pixels` the digest of the pixels is None, for equal pixels have equal hashes too, and a JPEG is unpacked at a half, quarter or
    eighth of its size that leaves twice the size hashed: half the time, and hashes 3 bits away on average (16 at most of 600 drawn ones).
    """
    packed = open_header(data)
    if not pixels:
        packed.draft("RGB", (2 * HASHED_SIDE, 2 * HASHED_SIDE))
    image = unpack(packed)
    turns, quality = pdq_turns(image)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "pixels_sha256": pixels_digest(image) if pixels else None,
        "pdq_turns": turns,
        "pdq_quality": quality,
        "grid": np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX)).tobytes(),
    }


def pixels_digest(image: Image.Image) -> str:
    """64 hex digits of the RGB pixels and their shape."""
    digest = hashlib.sha256(repr((image.height, image.width, 3)).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def flat_share(pixels: NDArray[np.uint8]) -> float:
    """The share, 0..1, of pixels in the most frequent colour when each channel is cut to 16 steps."""
    steps = (pixels >> 4).astype(np.int64)
    colours = np.bincount(((steps[..., 0] << 8) | (steps[..., 1] << 4) | steps[..., 2]).ravel())
    return float(colours.max() / colours.sum())


def picture(sample: Sample) -> Image.Image:
    """The decoded picture of a sample; it stays there for the next scorer, so none may change it. `DecodeError` as in `decode`."""
    if "image" not in sample:
        sample["image"] = decode(picture_bytes(sample))
    return sample["image"]


def score_picture(sample: Sample) -> Row:
    """One row of `PICTURE_SCHEMA`; a picture that cannot be decoded has only its status."""
    try:
        return {"key": sample["__key__"]} | measure(picture(sample))
    except DecodeError as error:
        return {"key": sample["__key__"], "decode_status": error.reason}


def load_pictures() -> Score:
    """The batch function of the picture scorer."""
    return each(score_picture)


PICTURE = Scorer(
    name="picture",
    version=4,
    schema=PICTURE_SCHEMA,
    load=load_pictures,
    about="emptiness (entropy, contrast, flat share), digest of the pixels, PDQ hashes in eight orientations, colour grid",
    cost="5 ms a picture",
)

"""Measure that tells photographs from drawings, by how neighbouring pixels differ.

A drawing is flat: most neighbours are equal, the rest are hard edges. A photograph has grain, so few neighbours are equal and most differ a
little. The measure looks at the motif alone: a cut-out on white is as much a photograph as one with a background.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
_LEAST = 64
_SOFT, _HARD = 24, 48
# how much equal neighbours, soft steps, hard steps and grain count, and the constant: logistic regression by benchmarks/faces.py
WEIGHTS = (-8.6, 3.8, -17.7, 2.24, -2.49)
_GRAIN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


def photo_score(image: Image.Image) -> float:
    """How much the picture looks photographed: 0 (drawn) to 1."""
    measured = texture(image)
    if measured is None:
        return 0.0
    *weights, constant = WEIGHTS
    return 1 / (1 + math.exp(-float(np.dot(weights, measured)) - constant))


def texture(image: Image.Image) -> tuple[float, float, float, float] | None:
    """Shares (0..1) of equal neighbours, of soft steps and of hard steps, and log(1 + median grain); None when there is no motif.

    Steps are the largest difference of a channel between neighbours in the motif: soft up to 24 of 255, hard above 48. Grain is what the
    noise filter of Immerkær (1996) leaves of the brightness.
    """
    import cv2

    small = image.convert("RGB")
    if max(small.size) > SIDE:
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    if min(small.size) < 3:
        return None
    pixels = np.asarray(small, dtype=np.uint8)
    motif = _motif(pixels)
    across = _largest_steps(pixels[:, 1:], pixels[:, :-1])[motif[:, 1:] & motif[:, :-1]]
    down = _largest_steps(pixels[1:], pixels[:-1])[motif[1:] & motif[:-1]]
    steps = np.bincount(across, minlength=256) + np.bincount(down, minlength=256)
    total = int(steps.sum())
    if total < _LEAST:
        return None
    grain = np.abs(cv2.filter2D(np.asarray(small.convert("L"), dtype=np.float32), -1, _GRAIN))[motif]
    shares = (steps[0], steps[3 : _SOFT + 1].sum(), steps[_HARD + 1 :].sum())
    equal, soft, hard = (float(share) / total for share in shares)
    return equal, soft, hard, math.log1p(float(np.median(grain)))


def _largest_steps(pixels: NDArray[np.uint8], neighbours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest difference of a channel, pixel by pixel. By OpenCV: NumPy's maximum over three channels takes 25 times as long."""
    import cv2

    red, green, blue = cv2.split(cv2.absdiff(pixels, neighbours))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def _motif(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the picture is more than its most frequent colour (of 4,096) all around."""
    import cv2

    cut = (pixels >> 4).astype(np.uint16)
    colours = (cut[..., 0] << 8) | (cut[..., 1] << 4) | cut[..., 2]
    ground = (colours == np.bincount(colours.ravel()).argmax()).astype(np.uint8)
    return cv2.erode(ground, np.ones((3, 3), dtype=np.uint8)) == 0

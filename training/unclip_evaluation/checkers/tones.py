"""Skin tones: a linear probe for each style, on a soft histogram of the foreground's skin-like colours.

A median colour is not enough: hair, clothes and lines are brown too. What differs from tone to tone in all things of a style is the skin.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_evaluation.checkers.colours import to_lab
from unclip_evaluation.checkers.segmentation import Segmented, segmented
from unclip_evaluation.probes.linear import LinearProbe, fit_ridge
from unclip_evaluation.prompts.prompt import Label

HUE, CHROMA = (10.0, 95.0), (5.0, 60.0)  # of skin, hair and lines in Lab; an uncoloured emoji's yellow is more saturated
BINS = np.array([(light, a, b) for light in range(20, 100, 8) for a in (4, 12, 20, 28) for b in (8, 18, 28, 38, 48)], np.float64)
WIDTHS = np.array([9.0, 8.0, 8.0])  # of a bin, as a normal distribution
LEAST_PIXELS = 60
MOST_PIXELS = 1500
MOST_PICTURES = 40  # are looked at for each tone of a style
PENALTY = 3.0
SOFT_SIDE = 48


def tone_features(scene: Segmented) -> NDArray[np.float32] | None:
    """float32 [200]: roots of the shares of skin-like foreground in each bin; None where there is next to none."""
    lab = to_lab(scene.picture[scene.mask])
    hue, chroma = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])), np.hypot(lab[:, 1], lab[:, 2])
    lab = lab[(hue > HUE[0]) & (hue < HUE[1]) & (chroma > CHROMA[0]) & (chroma < CHROMA[1])]
    if len(lab) < LEAST_PIXELS:
        return None
    some = lab[:: -(-len(lab) // MOST_PIXELS)]
    weights = np.exp(-0.5 * (((some[:, None] - BINS) / WIDTHS) ** 2).sum(-1))
    return np.sqrt((weights / (weights.sum(1, keepdims=True) + 1e-9)).mean(0)).astype(np.float32)


def fit_tones(pictures: NDArray[np.uint8], labels: Iterable[Label | None]) -> dict[str, LinearProbe]:
    """A probe of tones for each style that training pictures (uint8 [N, H, W, 3]) show in several tones."""
    by_style: dict[str, dict[str, list[int]]] = {}
    for place, label in enumerate(labels):
        if label is not None and (tone := tone_of(label)) is not None:
            by_style.setdefault(label.style, {}).setdefault(tone, []).append(place)
    return {style: _fitted(pictures, tones) for style, tones in sorted(by_style.items()) if len(tones) > 1}


def tone_of(label: Label) -> str | None:
    """The tone of the one thing of the picture, if it has one."""
    return label.scene.things[0].tone if label.scene is not None and label.is_single else None


def _fitted(pictures: NDArray[np.uint8], places: Mapping[str, list[int]]) -> LinearProbe:
    found: list[NDArray[np.float32]] = []
    answers: list[str] = []
    for tone, some in places.items():
        for picture in (np.asarray(pictures[place]) for place in some[:MOST_PICTURES]):
            for form in (picture, softened(picture)):
                row = tone_features(segmented(form))
                found.append(np.zeros(len(BINS), np.float32) if row is None else row)
                answers.append(tone)
    return fit_ridge(np.stack(found), answers, PENALTY)


def softened(picture: NDArray[np.uint8], side: int = SOFT_SIDE) -> NDArray[np.uint8]:
    """The picture as it looks when it was painted at `side` and made larger."""
    small = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BICUBIC))

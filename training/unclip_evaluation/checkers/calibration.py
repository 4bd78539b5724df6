"""Calibration: what the checkers have to know of a dataset version, measured on its training pictures.

The names of the backgrounds and their colours stand in the scenes; how a style draws a skin tone, and how large a small thing is, is
measured. A check of what training pictures never show is not asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.checkers.colours import Lab, to_lab
from unclip_evaluation.checkers.segmentation import segmented
from unclip_evaluation.checkers.tones import fit_tones
from unclip_evaluation.probes.linear import LinearProbe
from unclip_evaluation.prompts.prompt import Label
from unclip_evaluation.prompts.scene import SIZES

MOST_PICTURES = 60  # are looked at for each size


@dataclass(frozen=True)
class Calibration:
    """Backgrounds by name in Lab, the probe of skin tones by style, and the extent between small and large (None: no such scenes)."""

    backgrounds: Mapping[str, Lab]
    tones: Mapping[str, LinearProbe]
    middle_extent: float | None


def calibrated(pictures: NDArray[np.uint8], labels: Sequence[Label | None]) -> Calibration:
    """What training pictures (uint8 [N, H, W, 3]) and their labels tell the checkers."""
    scenes = [label.scene for label in labels if label is not None and label.scene is not None]
    backgrounds = {scene.background: to_lab(np.array(scene.background_rgb)) for scene in scenes}
    return Calibration(backgrounds, fit_tones(pictures, labels), _middle_extent(pictures, labels))


def _middle_extent(pictures: NDArray[np.uint8], labels: Sequence[Label | None]) -> float | None:
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        if label is not None and label.scene is not None and label.scene.size is not None and label.is_single:
            places.setdefault(label.scene.size, []).append(place)
    if set(places) != set(SIZES):
        return None
    medians = [float(np.median([segmented(np.asarray(pictures[i])).extent for i in some[:MOST_PICTURES]])) for some in places.values()]
    return sum(medians) / 2

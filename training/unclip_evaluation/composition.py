"""Composition: does the nearest training picture have the concept and the style that were asked for?

A picture hits its concept when the nearest training picture (largest cosine of MobileNetV2 features, whole training set) is of the
same base concept, and its style when that neighbour has the same style. Chance is one over the number of concepts, or of styles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.distances import nearest
from unclip_evaluation.prompts.prompt import Label, Prompt


@dataclass(frozen=True)
class Hits:
    """Shares in [0, 1] of pictures whose nearest training picture has the same concept, the same style, and the neighbours themselves."""

    concept: float
    style: float
    places: NDArray[np.int64]
    cosines: NDArray[np.float32]


def hits(prompts: list[Prompt], painted: NDArray[np.float32], train: NDArray[np.float32], train_labels: list[Label | None]) -> Hits:
    """How many of the painted pictures (features [P, 1280]) have a nearest training picture (features [N, 1280]) of their own label."""
    places, cosines = nearest(painted, train)
    neighbours = [train_labels[place] for place in places]
    concept = [n is not None and n.concept == p.label.concept for p, n in zip(prompts, neighbours, strict=True)]
    style = [n is not None and n.style == p.label.style for p, n in zip(prompts, neighbours, strict=True)]
    return Hits(float(np.mean(concept)) if prompts else 0.0, float(np.mean(style)) if prompts else 0.0, places, cosines)

"""Diversity: how far several seeds of one prompt lie apart, and whether all of them show what was asked."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.distances import unit
from unclip_evaluation.figures import Diversity, rate
from unclip_evaluation.probes.linear import LinearProbe
from unclip_evaluation.prompts.prompt import Prompt
from unclip_training.judging.mobilenet import features


def diversity(prompts: Sequence[Prompt], pictures: NDArray[np.uint8], concept: LinearProbe) -> Diversity:
    """The figures of pictures (uint8 [P, S, H, W, 3]) of P prompts with S seeds each; 0 where there is no pair of seeds.

    The one seed beside all of them is the first.
    """
    count, seeds = pictures.shape[:2]
    found = features(pictures.reshape(-1, *pictures.shape[2:])).reshape(count, seeds, -1)
    asked = [prompt.label.concepts for prompt in prompts]
    return Diversity(
        num_prompts=count,
        seeds_per_prompt=seeds,
        pixel_difference=_mean([_pixels_apart(pictures[:, a], pictures[:, b]) for a, b in combinations(range(seeds), 2)]),
        feature_distance=_mean([_features_apart(found[:, a], found[:, b]) for a, b in combinations(range(seeds), 2)]),
        concept_at_1=rate(concept.hits(found.reshape(count * seeds, -1), [one for one in asked for _ in range(seeds)])),
        concept_at_1_one_seed=rate(concept.hits(found[:, 0], asked)),
    )


def _pixels_apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean()) if len(a) else 0.0


def _features_apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(1 - (unit(a) * unit(b)).sum(-1).mean()) if len(a) else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0

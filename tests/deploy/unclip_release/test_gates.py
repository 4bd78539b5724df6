"""The gates: pure, so two dicts are enough."""

import math

import pytest

from unclip_pairs.json_value import JsonValue
from unclip_release.gates import PASSED, GatePolicy, numbers, objections, results

Figures = dict[str, JsonValue]
POLICY = GatePolicy(min_concept_hit_rate=0.1, min_own_words_concept=0.3, min_held_out_concept=0.2, max_copied=0.2, tolerance=0.05)


def test_a_good_candidate_has_no_objections_with_and_without_a_champion(good_figures: Figures) -> None:
    assert objections(good_figures, None, POLICY) == []
    assert objections(good_figures, good_figures, POLICY) == []
    assert set(results(good_figures, None, POLICY).values()) == {PASSED}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"concept_hit_rate": 0.05}, "concept_hit_rate 0.050 is below the floor 0.100"),
        ({"own_words": {"concept_at_1": 0.2}}, "own_words.concept_at_1 0.200 is below the floor 0.300"),
        ({"held_out": {"concept_at_5": 0.1}}, "held_out.concept_at_5 0.100 is below the floor 0.200"),
        ({"frechet_mnv2": math.nan}, "frechet_mnv2 is not finite"),
        ({"frechet_mnv2": math.inf}, "frechet_mnv2 is not finite"),
        ({"explicit_pictures": 2}, "2 pictures of the evaluation are explicit; none may be"),
        ({"nearest_train": {"share_above_0.97": 0.3}}, "30.0% of the pictures are near copies of training pictures; at most 20.0% may be"),
        ({"nearest_train": {}}, "the evaluation lacks nearest_train.share_above_0.97"),
        ({"explicit_pictures": None}, "the evaluation lacks explicit_pictures"),
        ({"style_hit_rate": "high"}, "the evaluation lacks style_hit_rate"),
    ],
)
def test_each_gate_says_why(change: dict[str, JsonValue], told: str, good_figures: Figures) -> None:
    assert told in objections(good_figures | change, None, POLICY)


@pytest.mark.parametrize(
    ("change", "is_worse"),
    [
        ({"concept_hit_rate": 0.37}, True),
        ({"concept_hit_rate": 0.39}, False),
        ({"frechet_mnv2": 21.5}, True),
        ({"frechet_mnv2": 20.5}, False),
        ({"frechet_mnv2": 2.0, "clip_score_judge": 0.9}, False),
        ({"clip_score_judge": 0.2}, True),
    ],
)
def test_a_candidate_may_be_worse_than_the_champion_by_the_tolerance_only(
    change: dict[str, float], is_worse: bool, good_figures: Figures
) -> None:
    sentences = objections(good_figures | change, good_figures, POLICY)
    assert bool(sentences) is is_worse
    assert all("is worse than the champion's" in sentence for sentence in sentences)


def test_an_empty_evaluation_never_passes() -> None:
    assert objections({}, None, GatePolicy()) != []


def test_figures_are_flattened_and_what_is_no_figure_is_left_out() -> None:
    found = numbers({"a": 1, "b": {"c": 0.5, "d": {"e": 2}}, "f": "text", "g": True, "h": [1], "i": None})
    assert found == {"a": 1.0, "b.c": 0.5, "b.d.e": 2.0}


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tolerance is 1\.5"):
        GatePolicy(tolerance=1.5)

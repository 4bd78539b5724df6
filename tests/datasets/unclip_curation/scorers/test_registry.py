"""Tests of the register of scorers: what runs by name, together, and once."""

from collections.abc import Callable
from typing import Any

import pytest
from pyarrow.parquet import read_table

from unclip_curation.scorers import pictures, registry
from unclip_curation.scorers.runner import Derived
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

Rows = Callable[..., list[Any]]


def test_a_name_is_that_of_the_scorer_and_every_row_has_a_key() -> None:
    assert [name for name, scorer in registry.SCORERS.items() if name != scorer.name or scorer.schema.names[0] != "key"] == []


def test_an_unknown_scorer_and_an_unknown_batch_are_told_in_one_sentence(store: Store, crawl_batch: Rows, shapes: Rows) -> None:
    crawl_batch(shapes(2))
    with pytest.raises(UserError, match="'blurr' does not exist; choose one of picture"):
        registry.score(store, "a", ["blurr"])
    with pytest.raises(UserError, match="'b' is not crawled; choose one of a"):
        registry.score(store, "b", ["picture"])


def test_scorers_run_by_name_in_the_order_asked_for(store: Store, crawl_batch: Rows, shapes: Rows) -> None:
    crawl_batch(shapes(3))
    found = registry.score(store, "a", ["caption", "picture", "blocklist"], workers=1)
    assert [manifest.settings["scorer"] for manifest in found] == ["caption", "picture", "blocklist"]
    assert registry.score(store, "a", ["picture", "caption"], workers=1) == [found[1], found[0]]


def test_every_scorer_of_pictures_gives_a_row_for_bytes_that_are_no_picture() -> None:
    for scorer in registry.SCORERS.values():
        if not isinstance(scorer, Derived) and scorer.reads == "picture":
            rows = list(scorer.load()([{"__key__": "a", "png": b"nonsense"}]))
            assert [row["key"] for row in rows] == ["a"], scorer.name


def test_a_picture_is_decoded_once_for_all_scorers(store: Store, crawl_batch: Rows, shapes: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl_batch(shapes(4))
    calls, decode = list[int](), pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda data: (calls.append(len(data)), decode(data))[1])
    alike = [name for name, one in registry.SCORERS.items() if not isinstance(one, Derived) and (one.reads, one.stage) == ("picture", None)]
    registry.score(store, "a", alike, workers=1)
    assert len(calls) == 4
    assert [read_table(store.path(f"features/a/{name}.parquet")).num_rows for name in alike] == [4] * len(alike)

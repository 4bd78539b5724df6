"""Tests of the journal's numbers: what a kill cut off is replaced, what is finished never is."""

from collections.abc import Callable
from typing import Any

import pytest

from unclip_crawl.journal.journal import Commit, open_journal
from unclip_crawl.journal.rows import failed_row
from unclip_pairs.schema import Pair
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store


def test_a_shard_that_was_cut_off_is_replaced_and_finished_ones_stay(
    store: Store, crawl_batch: Callable[..., list[str]], shapes: Callable[..., Any]
) -> None:
    keys = crawl_batch(shapes(2))
    samples = list(read_shard(store, "crawl/a/shard-00000"))
    store.remove("crawl/a/manifest.json")
    store.write_bytes("crawl/a/shard-00001.tar", b"cut off: its manifest was never written")
    journal = open_journal(store, "a", shard_size=1, flush_s=60.0)
    other = failed_row(Pair("f" * 20, "http://a.test/x.png", "", "x", None), "ok", "")
    journal.write(Commit([{"__key__": "f" * 20, "png": b"x", "txt": b"x"}], [other], True, [], []))
    assert shard_names(store, "crawl/a/shard-") == ["crawl/a/shard-00000", "crawl/a/shard-00001"]
    assert [sample["__key__"] for sample in read_shard(store, "crawl/a/shard-00000")] == [sample["__key__"] for sample in samples]
    assert {sample["__key__"] for name in shard_names(store, "crawl/a/") for sample in read_shard(store, name)} == {*keys, "f" * 20}


def test_a_part_loses_its_manifest_before_its_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(store, "a", shard_size=9, flush_s=60.0)
    row = failed_row(Pair("f" * 20, "http://a.test/x.png", "", "x", None), "ok", "")
    journal.write(Commit([{"__key__": "f" * 20, "png": b"x", "txt": b"x"}], [row], False, [], []))
    gone: list[str] = []
    remove = Store.remove

    def watched(self: Store, name: str) -> None:
        gone.append(name.rpartition(".")[2])
        remove(self, name)

    monkeypatch.setattr(Store, "remove", watched)
    journal.clear("open/")
    assert gone[0] == "json" and sorted(gone) == ["json", "parquet", "tar"] and store.names("crawl/a/open/") == []

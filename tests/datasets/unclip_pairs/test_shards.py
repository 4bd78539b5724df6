"""Tests of shards, schema and catalog."""

import gc
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from unclip_pairs.catalog import connect, parquet
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA, REASONS, STATUSES, make_pair, pair_key
from unclip_pairs.shards import read_shard, shard_names, write_parquet, write_shard
from unclip_pairs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def npy(values: list[float]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, np.float32))
    return buffer.getvalue()


def sample(number: int) -> dict[str, object]:
    png = encode_png(Image.new("RGB", (4, 4), (number, 0, 0)))
    return {"__key__": pair_key("u", str(number)), "png": png, "txt": f"nummer {number} ü".encode(), "clip_image.npy": npy([number, 0.5])}


ROWS = pa.table({"key": ["a", "b"]})


def test_a_shard_is_read_back_as_it_was_written(store: Store) -> None:
    samples = [sample(n) for n in range(3)]
    manifest = write_shard(store, "crawl/a/shard-00000", samples, ROWS)
    assert list(read_shard(store, "crawl/a/shard-00000")) == samples
    assert (manifest.counts["samples"], manifest.counts["rows"]) == (3, 2)


def test_the_same_samples_give_the_same_digest(store: Store) -> None:
    first = write_shard(store, "one", [sample(1)], ROWS)
    write_shard(store, "two", [sample(1)], ROWS)
    assert store.read_bytes("one.tar") == store.read_bytes("two.tar")
    assert write_shard(store, "one", [sample(1)], ROWS).digest == first.digest


def test_a_shard_without_its_manifest_does_not_exist(store: Store) -> None:
    write_shard(store, "s/shard-00000", [sample(1)], ROWS)
    write_shard(store, "s/shard-00001", [sample(2)], ROWS)
    write_parquet(store, "s/rows.parquet", ROWS)
    store.write_json("s/manifest.json", {})
    store.path("s/shard-00001.json").unlink()
    assert shard_names(store, "s/") == ["s/shard-00000"]
    with pytest.raises(UserError, match="not finished"):
        list(read_shard(store, "s/shard-00001"))


def test_a_cut_off_tar_is_explained(store: Store) -> None:
    write_shard(store, "s", [sample(1), sample(2)], ROWS)
    store.path("s.tar").write_bytes(store.read_bytes("s.tar")[:700])
    with pytest.raises(UserError, match="damaged"):
        list(read_shard(store, "s"))


def test_a_pipe_address_is_a_name_that_is_not_there(store: Store) -> None:
    with pytest.raises(UserError):
        list(read_shard(store, "pipe:touch stolen"))
    assert not (store.root / "stolen").exists()


def test_repeated_keys_are_our_mistake(store: Store) -> None:
    with pytest.raises(AssertionError, match="repeated key"):
        write_shard(store, "s", [sample(1), sample(1)], ROWS)
    assert store.names() == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its tar open
def test_webdataset_reads_our_shards(store: Store) -> None:
    import webdataset

    write_shard(store, "s", [sample(n) for n in range(3)], ROWS)
    data = webdataset.WebDataset(str(store.path("s.tar")), shardshuffle=False, nodesplitter=webdataset.split_by_node, empty_check=False)
    got = list(data)
    gc.collect()
    assert [item["__key__"] for item in got] == [sample(n)["__key__"] for n in range(3)]
    assert got[2]["clip_image.npy"] == sample(2)["clip_image.npy"]


def test_keys_are_twenty_hex_digits_and_depend_on_both_parts() -> None:
    assert pair_key("http://a/b.png", "a cat") == "53b59c64cb9438ad03d1"
    assert len(pair_key("u", "c")) == 20 and set(pair_key("u", "c")) <= set("0123456789abcdef")
    assert len({pair_key("u", "c"), pair_key("u", "d"), pair_key("v", "c")}) == 3
    assert make_pair("u", "c").key == pair_key("u", "c")


def test_every_status_but_ok_is_a_reason() -> None:
    assert set(STATUSES) - {"ok"} <= set(REASONS)
    assert len(set(REASONS)) == len(REASONS) and "ok" not in REASONS


def test_the_catalog_reads_files_of_differing_columns_and_odd_names(store: Store) -> None:
    row = dict.fromkeys(CRAWL_SCHEMA.names) | {"key": "k", "status": "ok"}
    write_parquet(store, "it's.parquet", pa.Table.from_pylist([row], schema=CRAWL_SCHEMA))
    write_parquet(store, "b.parquet", pa.table({"key": ["l"], "more": [1]}))
    connection = connect()
    files = parquet([store.path("it's.parquet"), store.path("b.parquet")])
    found = connection.execute(f"SELECT key, status, more FROM {files} ORDER BY key").fetchall()
    assert found == [("k", "ok", None), ("l", None, 1)]


def test_an_older_manifest_never_stands_beside_rows_that_it_does_not_describe(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(value: int) -> pa.Table:
        return pa.table({"key": ["a"], "value": [value]})

    def write(value: int) -> None:
        write_parquet(store, "x.parquet", rows(value), manifest="x.json")
        write_manifest(store, "x.json", make_manifest(store, "rows", ["x.parquet"]))

    write(1)
    described = store.read_json("x.json")["files"]["x.parquet"]
    moments: list[bool] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moments.append(store.exists("x.json") and Path(target).name == "x.parquet")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write(2)
    assert moments == [False, False] and store.read_json("x.json")["files"]["x.parquet"] != described

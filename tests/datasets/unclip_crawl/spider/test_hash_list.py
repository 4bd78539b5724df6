"""Tests of the hash list on stand-in pictures: what is on it is a row without caption, and nothing of it is ever in the store."""

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.pictures.hash_list import read_hash_list
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import read_manifest
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store


def drawn(number: int, size: int = 512) -> Image.Image:
    """A pattern of blobs that no other number has."""
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pdq_line(image: Image.Image) -> str:
    bits, quality = pdqhash.compute(np.asarray(image))
    assert quality >= 50
    return f"pdq {np.packbits(np.asarray(bits, dtype=np.uint8)).tobytes().hex()}"


PICTURES = {
    "/by-sha256.png": encoded(drawn(1)),
    "/by-md5.png": encoded(drawn(2)),
    "/by-pdq.png": encoded(drawn(3)),
    "/recompressed.jpg": encoded(drawn(3).resize((400, 400)), "JPEG", quality=60),
    "/mirrored.png": encoded(drawn(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "/no-picture.png": b"bytes that nobody can decode",
    "/free.png": encoded(drawn(4)),
    "/flat.png": encoded(Image.new("RGB", (64, 64), "grey")),
}
FREE = {"/free.png", "/flat.png"}
LIST = "\n".join(
    [
        "# stand-ins",
        f"sha256:{hashlib.sha256(PICTURES['/by-sha256.png']).hexdigest().upper()}",
        f"md5,{hashlib.md5(PICTURES['/by-md5.png']).hexdigest()}  # a remark",
        f"sha256 {hashlib.sha256(PICTURES['/no-picture.png']).hexdigest()}",
        "",
        pdq_line(drawn(3)),
        f"pdq {'0' * 64}",
    ]
)


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Any:
    page = "".join(f'<img src="{path}" alt="words about {path}">' for path in PICTURES).encode()
    shown = {path: (200, {"Content-Type": "image/png"}, data) for path, data in PICTURES.items()}
    return serve({"/": (200, {"Content-Type": "text/html"}, page)} | shown)


def settings_of(site: Any, hash_list: Path | None, **changes: Any) -> CrawlSettings:
    where: dict[str, Any] = {
        "batch": "a",
        "contact": "tests@example.org",
        "seeds": (f"{site.url}/",),
        "allow_loopback": True,
        "delay_s": 0.0,
    }
    return CrawlSettings(**{**where, "hash_list": str(hash_list or ""), **changes})


def statuses(store: Store, site: Any) -> dict[str, str]:
    return {row["url"].removeprefix(site.url): row["status"] for row in rows_of(store)}


def rows_of(store: Store) -> list[dict[str, Any]]:
    return read_table(store.path("crawl/a/rows.parquet")).to_pylist()


def captions_of(store: Store) -> set[str]:
    return {sample["txt"].decode() for name in shard_names(store, "crawl/a/shard-") for sample in read_shard(store, name)}


def assert_only_free_pictures_are_stored(store: Store, site: Any, expected: dict[str, str]) -> None:
    assert statuses(store, site) == expected
    assert captions_of(store) == {f"words about {path}" for path in FREE}
    for row in rows_of(store):
        if row["status"] == "listed_hash":
            assert (row["caption"], row["licence"], row["sha256"], row["byte_count"], row["shard"]) == ("", None, None, None, None)


@pytest.fixture
def hash_list(tmp_path: Path) -> Path:
    path = tmp_path / "operators-own.txt"
    path.write_text(LIST)
    return path


def test_what_is_listed_becomes_a_row_and_neither_it_nor_the_list_is_stored(site: Any, hash_list: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    manifest = crawl(store, settings_of(site, hash_list))
    assert_only_free_pictures_are_stored(store, site, {path: "ok" if path in FREE else "listed_hash" for path in PICTURES})
    assert manifest.inputs["hash_list"] == hashlib.sha256(LIST.encode()).hexdigest()
    entries = re.findall(r"[0-9a-f]{32,64}", LIST)
    for name in store.names():
        data = store.read_bytes(name)
        for secret in [hash_list.name, "words about /by-", *entries]:
            assert secret.encode() not in data and bytes(secret, "utf-16-le") not in data, (name, secret)
    site.asked.clear()
    crawl(store, settings_of(site, hash_list))
    assert not site.asked, "the batch is finished, and what is listed is not asked for again"


def test_another_list_is_held_against_what_is_stored_already(site: Any, hash_list: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    assert "listed_hash" not in crawl(store, settings_of(site, None, shard_size=3)).counts
    crawl(store, settings_of(site, hash_list, shard_size=3))
    # an md5 is of bytes that are not kept, and bytes that are no picture were never stored
    expected = {path: "ok" if path in FREE | {"/by-md5.png"} else "listed_hash" for path in PICTURES} | {"/no-picture.png": "not_an_image"}
    assert statuses(store, site) == expected
    assert captions_of(store) == {f"words about {path}" for path in FREE | {"/by-md5.png"}}
    for name in shard_names(store, "crawl/a/shard-"):
        manifest = read_manifest(store, f"{name}.json")
        assert manifest is not None and manifest.settings["hash_list"] == hashlib.sha256(LIST.encode()).hexdigest()


def test_folders_pass_the_same_gate(hash_list: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for path, data in PICTURES.items():
        (folder / path[1:]).write_bytes(data)
    store = open_store(tmp_path / "home")
    manifest = crawl(store, CrawlSettings(batch="a", contact="tests@example.org", folders=(str(folder),), hash_list=str(hash_list)))
    assert (manifest.counts["ok"], manifest.counts["listed_hash"]) == (len(FREE), len(PICTURES) - len(FREE))


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "sha256 abc\n", f"sha1 {'0' * 40}", f"pdq {'g' * 64}", f"md5 {'0' * 32} 1"])
def test_nothing_is_fetched_when_the_list_cannot_be_read(site: Any, tmp_path: Path, text: str | None) -> None:
    path, store = tmp_path / "list.txt", open_store(tmp_path / "home")
    if text is not None:
        path.write_text(text)
    site.asked.clear()
    with pytest.raises(UserError, match="hash_list") as caught:
        crawl(store, settings_of(site, path))
    assert not site.asked and store.names() == []
    assert text is None or "0000" not in str(caught.value), "an entry is not repeated"


def test_every_near_hash_is_found_among_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    listed = rng.integers(0, 256, (3000, 32), dtype=np.uint8)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"pdq {row.tobytes().hex()}\n" for row in listed))
    read = read_hash_list(str(path))
    for distance, expected in ((0, True), (15, True), (31, True), (32, False), (60, False)):
        for row in listed[:40]:
            flips = np.zeros(256, dtype=np.uint8)
            flips[rng.choice(256, distance, replace=False)] = 1
            assert read.is_near(row ^ np.packbits(flips)) is expected

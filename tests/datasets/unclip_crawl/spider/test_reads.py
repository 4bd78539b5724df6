"""Tests of how often a crawl opens its inputs: once to check them and take their digests, once to crawl; counted by the kernel (inotify),
so that no process and no library escapes the count."""

import asyncio
import ctypes
import io
import os
import struct
import tarfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.inputs import checked_inputs
from unclip_crawl.spider.source_reader import PORTION, Portions
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import file_digest, read_manifest

IN_OPEN, IN_CLOSE = 0x20, 0x08 | 0x10
EVENT = struct.Struct("iIII")


class Opens:
    """Counts, by file name, how often the files of a folder are opened, by whatever process. Closing is watched too, for the kernel
    merges equal events that follow one another."""

    def __init__(self, folder: Path) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.queue = self.libc.inotify_init1(os.O_NONBLOCK)
        assert self.queue >= 0 and self.libc.inotify_add_watch(self.queue, str(folder).encode(), IN_OPEN | IN_CLOSE) >= 0

    def counted(self) -> Counter[str]:
        """The opens since the last call."""
        opens = Counter[str]()
        while data := self._events():
            at = 0
            while at < len(data):
                _, mask, _, length = EVENT.unpack_from(data, at)
                name = data[at + EVENT.size : at + EVENT.size + length].rstrip(b"\0").decode()
                opens[name] += bool(mask & IN_OPEN)
                at += EVENT.size + length
        return +opens

    def _events(self) -> bytes:
        try:
            return os.read(self.queue, 2**16)
        except BlockingIOError:
            return b""


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with one of each kind of list, a shard and a hash list; every address is refused without asking anybody."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "a.csv").write_text("url,caption\nhttp://10.0.0.1/a.png,a\n")
    (folder / "b.jsonl").write_text('{"url": "http://10.0.0.1/b.png", "caption": "b"}\n')
    write_table(pa.table({"url": ["http://10.0.0.1/c.png"], "caption": ["c"]}), folder / "c.parquet")
    (folder / "hashes.txt").write_text(f"sha256 {'0' * 64}\n")
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    with tarfile.open(folder / "d.tar", "w") as tar:
        member = tarfile.TarInfo("0.png")
        member.size = len(picture.getvalue())
        tar.addfile(member, io.BytesIO(picture.getvalue()))
    return folder


def settings_of(folder: Path) -> CrawlSettings:
    lists = tuple(str(folder / name) for name in ("a.csv", "b.jsonl", "c.parquet"))
    return CrawlSettings(
        batch="a", contact="t@example.org", lists=lists, shards=(str(folder / "d.tar"),), hash_list=str(folder / "hashes.txt"), min_side=1
    )


def test_every_input_is_opened_twice_in_a_crawl_and_once_when_the_batch_is_done(inputs: Path, tmp_path: Path) -> None:
    store, settings, opens = open_store(tmp_path / "home"), settings_of(inputs), Opens(inputs)
    crawl(store, settings)
    files = ("a.csv", "b.jsonl", "c.parquet", "d.tar", "hashes.txt")
    assert opens.counted() == dict.fromkeys(files, 2), "once to check and digest, once to crawl"
    crawl(store, settings)
    assert opens.counted() == dict.fromkeys(files, 1), "a finished batch is known by its digests alone"


def test_the_digests_taken_while_checking_are_those_of_the_files(inputs: Path, tmp_path: Path) -> None:
    settings, store = settings_of(inputs), open_store(tmp_path / "home")
    found = checked_inputs(settings)
    assert {Path(name).name: digest for name, digest in found.items() if name != "hash_list"} == {
        path.name: file_digest(path) for path in inputs.iterdir() if path.name != "hashes.txt"
    }
    assert found["hash_list"] == file_digest(inputs / "hashes.txt")
    crawl(store, settings)
    manifest = read_manifest(store, "crawl/a/manifest.json")
    assert manifest is not None and manifest.inputs == found


def test_a_list_whose_last_line_is_broken_is_refused_before_anything_is_read_for_the_crawl(inputs: Path, tmp_path: Path) -> None:
    (inputs / "b.jsonl").write_text('{"url": "http://10.0.0.1/b.png", "caption": "b"}\nnot json\n')
    store, opens = open_store(tmp_path / "home"), Opens(inputs)
    with pytest.raises(UserError, match=r"b\.jsonl, line 2"):
        crawl(store, settings_of(inputs))
    assert max(opens.counted().values()) == 1 and not store.names("crawl/")


def test_what_a_deadline_cuts_off_is_read_on_and_not_again() -> None:
    given, read = list[int](), list[int]()

    def items() -> Iterator[int]:
        for number in range(PORTION + 10):
            read.append(number)
            yield number

    async def begin(portions: Portions[int]) -> None:
        async for item in portions.given():
            given.append(item)
            if item == 2:
                return

    portions = Portions(items(), ThreadPoolExecutor(1))
    asyncio.run(begin(portions))
    assert [*given, *portions.rest()] == list(range(PORTION + 10)) == read

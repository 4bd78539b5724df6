"""Journal: what a crawl has done so far, written so that a hard kill costs a few seconds of work and no row.

While a batch runs, `open/` holds the pictures of the shard being filled and `journal/` the other rows and the pages.
A full shard is written whole and its `open/` parts go; `finish` writes rows.parquet, pages.parquet and, last, manifest.json.
"""

import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_crawl.journal.rows import CrawlRow, PageRecord, is_transient, page_of, page_record, pair_of, stored_row
from unclip_crawl.pages.html import Page
from unclip_crawl.pictures.prepare import Prepared
from unclip_pairs.manifest import Manifest, make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA, Pair
from unclip_pairs.shards import Sample, read_shard, shard_names, write_parquet, write_shard
from unclip_pairs.store import Store

ABOUT = ("url", "page_url", "licence", "sha256", "original_width", "original_height", "fetched_at")  # what a sample's JSON says
MAP = " (sitemap)"  # ends the detail of a page that is a sitemap
PAGES_SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
        ("opt_out", pa.string()),
        ("pictures", pa.int64()),
        ("links", pa.int64()),
    ]
)


class Log(TypedDict):
    """A file of `journal/`."""

    rows: list[CrawlRow]
    pages: list[PageRecord]


@dataclass
class Commit:
    """What one write takes to the disk: a full shard or a part of the open one, and the other rows and pages since the last write."""

    samples: list[Sample]
    rows: list[CrawlRow]
    is_shard: bool
    others: list[CrawlRow]
    pages: list[PageRecord]


@dataclass
class Journal:
    """The record of one batch. `add`, `add_page` and `take` are called by one thread, `write` by one other."""

    store: Store
    batch: str
    shard_size: int
    flush_s: float
    hash_list: str | None = None
    statuses: dict[str, str] = field(default_factory=dict)
    urls: set[str] = field(default_factory=set)
    stored: int = 0
    missing: list[Pair] = field(default_factory=list)
    missing_pages: list[str] = field(default_factory=list)
    missing_maps: list[str] = field(default_factory=list)
    pages: dict[str, PageRecord] = field(default_factory=dict)
    _samples: list[Sample] = field(default_factory=list)
    _rows: list[CrawlRow] = field(default_factory=list)
    _saved: int = 0
    _others: list[CrawlRow] = field(default_factory=list)
    _pages: list[PageRecord] = field(default_factory=list)
    _written_at: float = field(default_factory=time.monotonic)
    _next_shard: int = 0
    _next_part: int = 0
    _next_log: int = 0

    def name(self, rest: str) -> str:
        """The store's name of a file of this batch."""
        return f"crawl/{self.batch}/{rest}"

    def add(self, row: CrawlRow) -> None:
        """Records a picture that is not stored."""
        self._remember(row)
        self._others.append(row)

    def add_picture(self, pair: Pair, picture: Prepared, content_type: str | None) -> None:
        """Records a stored picture."""
        row = stored_row(pair, picture, content_type)
        about = {name: value for name, value in row.items() if name in ABOUT}
        self._remember(row)
        self.stored += 1
        self._rows.append(row)
        texts = {"txt": pair.caption.encode("utf-8", "replace"), "json": json.dumps(about, ensure_ascii=False).encode("utf-8", "replace")}
        self._samples.append({"__key__": pair.key, picture.extension: picture.data} | texts)

    def add_page(self, page: Page, status: str, detail: str) -> None:
        """Records a page and what it offered, so that it need not be fetched again."""
        record = page_record(page, status, detail)
        self.pages[page.url] = record
        self._pages.append(record)

    def add_source(self, address: str, status: str, detail: str, pictures: int) -> None:
        """Records how the reading of an archive, a shard or a sitemap ended, and how many pictures it named."""
        record: PageRecord = {**page_record(Page(address, (), (), None), status, detail), "pictures": pictures}
        self.pages[address] = record
        self._pages.append(record)

    def _remember(self, row: CrawlRow) -> None:
        assert row["key"] not in self.statuses, f"{row['url']} would end twice"
        self.statuses[row["key"]] = row["status"]
        self.urls.add(row["url"])

    def remember_stored(self, rows: Iterable[CrawlRow]) -> None:
        """Takes note of pictures in finished shards."""
        for row in rows:
            self.statuses[row["key"]] = "ok"
            self.stored += 1
            self.urls.add(row["url"])

    def reopen_parts(self) -> None:
        """Reads the open shard's parts back; what a finished shard holds already is left out."""
        for name in shard_names(self.store, self.name("open/")):
            rows = {row["key"]: row for row in read_table(self.store.path(f"{name}.parquet"), schema=CRAWL_SCHEMA).to_pylist()}
            for sample in read_shard(self.store, name):
                if sample["__key__"] not in self.statuses:
                    self._samples.append(sample)
                    self._rows.append(rows[sample["__key__"]])
                    self.remember_stored([rows[sample["__key__"]]])
        self._saved = len(self._samples)

    def remember_failed(self, rows: Iterable[CrawlRow], retry_failed: bool) -> None:
        """Takes note of what is final; the rest is missing."""
        for row in rows:
            if row["key"] in self.statuses:
                continue
            if row["status"] == "ok" or (retry_failed and is_transient(row)):
                self.missing.append(pair_of(row))
            else:
                self.statuses[row["key"]] = row["status"]
            self.urls.add(row["url"])

    def remember_pages(self, records: Iterable[PageRecord], retry_failed: bool) -> None:
        """Takes note of the pages seen, later records over earlier ones."""
        self.pages |= {record["url"]: record for record in records}
        if retry_failed:
            self.missing_pages = [url for url, record in self.pages.items() if is_transient(record)]
            self.missing_maps = [url for url in self.missing_pages if (self.pages[url]["detail"] or "").endswith(MAP)]
            for url in self.missing_pages:
                del self.pages[url]

    def number_files(self) -> None:
        """New files get numbers that no older file has; a shard without a manifest was cut off, and the next one takes its place."""
        self._next_shard = number_after(f"{name}.json" for name in shard_names(self.store, self.name("shard-")))
        self._next_part = number_after(self.store.names(self.name("open/")))
        self._next_log = number_after(self.store.names(self.name("journal/")))

    def known_page(self, url: str) -> Page | None:
        """The page as an earlier run of the unfinished batch found it, or None."""
        return page_of(self.pages[url]) if url in self.pages else None

    def is_full(self) -> bool:
        """Whether the open shard has all its pictures."""
        return len(self._samples) >= self.shard_size

    def is_due(self) -> bool:
        """Whether there is enough, or something old enough, to write."""
        unsaved = len(self._samples) > self._saved or self._others or self._pages
        return self.is_full() or bool(unsaved and time.monotonic() - self._written_at >= self.flush_s)

    def take(self, last: bool = False) -> Commit:
        """Everything not written yet; a full shard (or, with `last`, what there is) starts a new one."""
        is_shard = self.is_full() or (last and bool(self._samples))
        start = 0 if is_shard else self._saved
        commit = Commit(self._samples[start:], self._rows[start:], is_shard, self._others, self._pages)
        self._others, self._pages, self._written_at = [], [], time.monotonic()
        if is_shard:
            self._samples, self._rows = [], []
        self._saved = len(self._samples)
        return commit

    def write(self, commit: Commit) -> None:
        """Takes a commit to the disk; `UserError` when the disk is full or forbidden, and then nothing already written is harmed."""
        if commit.others or commit.pages:
            log = json.dumps({"rows": commit.others, "pages": commit.pages}, ensure_ascii=True)  # compact, for it is written often
            self.store.write_bytes(self.name(f"journal/{self._next_log:06d}.json"), log.encode())
            self._next_log += 1
        if commit.samples and not commit.is_shard:
            self._write_part(commit)
        if commit.is_shard:
            self._write_shard(commit)

    def _write_part(self, commit: Commit) -> None:
        name = self.name(f"open/{self._next_part:06d}")
        write_shard(self.store, name, commit.samples, table_of(commit.rows), kind="crawl part", settings=self._looked_for())
        self._next_part += 1

    def _write_shard(self, commit: Commit) -> None:
        name = self.name(f"shard-{self._next_shard:05d}")
        rows = table_of(CrawlRow({**row, "shard": name}) for row in commit.rows)
        write_shard(self.store, name, commit.samples, rows, kind="crawl shard", settings=self._looked_for())
        self._next_shard += 1
        self.clear("open/")

    def _looked_for(self) -> dict[str, str]:
        """By its digest, the hash list that the pictures were held against."""
        return {"hash_list": self.hash_list} if self.hash_list is not None else {}

    def clear(self, folder: str) -> None:
        """Removes files of ours that nothing needs any more; of a part its manifest first, so that none is left without its files."""
        for name in sorted(self.store.names(self.name(folder)), key=lambda name: (not name.endswith(".json"), name)):
            self.store.remove(name)
        with contextlib.suppress(OSError):
            self.store.local_path(self.name(folder.rstrip("/"))).rmdir()

    def finish(self, inputs: dict[str, str], settings: Mapping[str, object]) -> Manifest:
        """Writes what is left, then all rows sorted by key, the pages, and last the manifest."""
        self.write(self.take(last=True))
        self.store.remove(self.name("manifest.json"))  # an older one would vouch for files about to change
        rows = self._all_rows()
        write_parquet(self.store, self.name("rows.parquet"), rows)
        pages = pa.Table.from_pylist([record for _, record in sorted(self.pages.items())], schema=PAGES_SCHEMA)
        write_parquet(self.store, self.name("pages.parquet"), pages)
        shards = shard_names(self.store, self.name("shard-"))
        files = [f"{shard}{extension}" for shard in shards for extension in (".tar", ".parquet")] + [
            self.name("rows.parquet"),
            self.name("pages.parquet"),
        ]
        counts = {"rows": rows.num_rows, "pages": pages.num_rows, "shards": len(shards)} | Counter(rows["status"].to_pylist())
        manifest = make_manifest(self.store, "crawl", files, inputs=inputs, settings=settings, counts=counts)
        write_manifest(self.store, self.name("manifest.json"), manifest)
        self.clear("journal/")
        self.clear("open/")
        return manifest

    def _all_rows(self) -> pa.Table:
        """One row per key: of the finished shards, and of the journal and an earlier rows.parquet for what is not stored."""
        shards = [
            read_table(self.store.path(f"{name}.parquet"), schema=CRAWL_SCHEMA) for name in shard_names(self.store, self.name("shard-"))
        ]
        stored = pa.concat_tables([CRAWL_SCHEMA.empty_table(), *shards])
        keys = set(stored["key"].to_pylist())
        others = {row["key"]: row for row in _earlier_rows(self.store, self.batch) if row["key"] not in keys and row["status"] != "ok"}
        return pa.concat_tables([stored, table_of(others.values())]).sort_by("key")


def table_of(rows: Iterable[CrawlRow]) -> pa.Table:
    """The rows as a table of `CRAWL_SCHEMA`."""
    return pa.Table.from_pylist(list(rows), schema=CRAWL_SCHEMA)


def _logs(store: Store, batch: str) -> Iterator[Log]:
    for name in store.names(f"crawl/{batch}/journal/"):
        yield store.read_json(name)


def _earlier_rows(store: Store, batch: str) -> Iterator[CrawlRow]:
    """The rows of rows.parquet and of the journal, oldest first; a later row of the same key replaces an earlier one."""
    name = f"crawl/{batch}/rows.parquet"
    if store.exists(name):
        yield from read_table(store.path(name), schema=CRAWL_SCHEMA).to_pylist()
    for log in _logs(store, batch):
        yield from log["rows"]


def number_after(names: Iterable[str]) -> int:
    """The next number for a file: one more than the largest number in names like shard-00007.tar and 000007.json."""
    return 1 + max((int(found.group(1)) for name in names if (found := re.search(r"(\d+)\.\w+$", name))), default=-1)


def open_journal(
    store: Store, batch: str, shard_size: int, flush_s: float, retry_failed: bool = False, hash_list: str | None = None
) -> Journal:
    """The journal of a batch with all that earlier runs did; `missing` and `missing_pages` are what a rerun has to fetch again.

    Stored pictures whose shard is gone are missing; with `retry_failed`, so are the addresses that failed for a reason that may pass.
    """
    journal = Journal(store, batch, shard_size, flush_s, hash_list)
    for name in shard_names(store, journal.name("shard-")):
        journal.remember_stored(read_table(store.path(f"{name}.parquet"), columns=["key", "url"]).to_pylist())
    journal.reopen_parts()
    latest = {row["key"]: row for row in _earlier_rows(store, batch)}
    journal.remember_failed(latest.values(), retry_failed)
    journal.remember_pages(_earlier_pages(store, batch), retry_failed)
    journal.number_files()
    return journal


def _earlier_pages(store: Store, batch: str) -> Iterator[PageRecord]:
    name = f"crawl/{batch}/pages.parquet"
    if store.exists(name):
        yield from read_table(store.path(name), schema=PAGES_SCHEMA).to_pylist()
    for log in _logs(store, batch):
        yield from log["pages"]

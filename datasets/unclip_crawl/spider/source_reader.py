"""Source reader: lists, archives, shards and sitemaps become pairs and requests, some at a time, however long they are.

Files are read in a thread of their own, so that a slow disk or a distant archive holds no download up, and no faster than the spider
settles what came before. How the reading of an archive, a shard or a sitemap ended is a row among the pages.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import Any, Generic, TypeVar

from scrapy import Request
from scrapy.http import Response

from unclip_crawl.addresses import site_of
from unclip_crawl.archives.read import Tally, pages_of
from unclip_crawl.journal.journal import MAP, Journal
from unclip_crawl.journal.rows import DETAIL_LENGTH
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.lists import pairs_from_folder, pairs_from_list
from unclip_crawl.sources.sitemaps import MAX_BYTES, MAX_DEPTH, Sitemap, maps_in_robots, read_sitemap
from unclip_crawl.sources.streams import Unreadable, access_of, opened
from unclip_crawl.sources.tar_shards import Shard, ShardSample
from unclip_crawl.spider.errors import failure_reason, http_status
from unclip_crawl.spider.frontier import Frontier, Wanted
from unclip_pairs.schema import STATUSES, Pair

PORTION = 256
PORTION_S = 0.5
PORTION_BYTES = 16 * 2**20
T = TypeVar("T")


class Portions(Generic[T]):
    """Items read in the reading thread, some at a time. What was read and not given yet is kept, so that `rest` misses none."""

    def __init__(self, items: Iterator[T], reader: ThreadPoolExecutor) -> None:
        self.items = items
        self.reader = reader
        self.taken: deque[T] = deque()
        self.lock = Lock()

    async def given(self) -> AsyncIterator[T]:
        """The items, as they are read."""
        loop = asyncio.get_running_loop()
        while True:
            await loop.run_in_executor(self.reader, self._take)
            if not self.taken:
                return
            while self.taken:
                yield self.taken.popleft()

    def rest(self) -> Iterator[T]:
        """The items not given yet, read in this thread, when the event loop has ended."""
        with self.lock:  # the reading thread may still be at it
            yield from self.taken
            self.taken.clear()
            yield from self.items

    def _take(self) -> None:
        """The next items: at most `PORTION` or `PORTION_BYTES`, or what comes in `PORTION_S`, but one at least; none at the end."""
        size, until = 0, time.monotonic() + PORTION_S
        with self.lock:
            for item in self.items:
                self.taken.append(item)
                size += len(item.data) if isinstance(item, ShardSample) else 0
                if len(self.taken) == PORTION or size >= PORTION_BYTES or time.monotonic() >= until:
                    break


class SourceReader:
    """Reads one crawl's sources. `unread` are the archives, shards and sitemaps whose reading has not ended: all, or in a batch that was
    finished (`only_missing`) once those that failed for a passing reason."""

    def __init__(self, settings: CrawlSettings, journal: Journal, frontier: Frontier, only_missing: bool) -> None:
        self.settings = settings
        self.journal = journal
        self.frontier = frontier
        self.only_missing = only_missing
        self.access = access_of(settings)
        self.reader = ThreadPoolExecutor(1, "read")
        lists = () if only_missing else settings.lists
        self.listed = Portions(chain.from_iterable(map(pairs_from_list, lists)), self.reader)
        self.files = chain.from_iterable(map(pairs_from_folder, settings.folders))
        named = dict.fromkeys((*settings.shards, *settings.archives, *settings.sitemaps))
        self.unread = {address: None for address in named if not only_missing or address in journal.missing_pages}
        self.answered: deque[tuple[str, int, Sitemap]] = deque()
        self.asked: set[str] = set()

    def _end(self, address: str, status: str, detail: str, pictures: int = 0) -> None:
        self.unread.pop(address, None)
        self.journal.add_source(address, status, detail, pictures)

    def _end_map(self, address: str, status: str, detail: str, pictures: int = 0) -> None:
        self._end(address, status, detail[: DETAIL_LENGTH - len(MAP)] + MAP, pictures)

    async def requests(self) -> AsyncIterator[Wanted]:
        """Pairs and requests for what lists and archives name and sitemaps lead to, in this order."""
        async for pair in self.listed.given():
            for request in self.frontier.want(pair):
                yield request
        for address in self.settings.archives:
            if address in self.unread:
                async for request in self._archive(address):
                    yield request
        maps = (address for address in self.settings.sitemaps if address in self.unread)
        async for request in self._sitemaps((*maps, *self.journal.missing_maps)):
            yield request

    async def _archive(self, address: str) -> AsyncIterator[Wanted]:
        tally = Tally()
        try:
            async for pair in Portions(self._archived(address, tally), self.reader).given():
                for request in self.frontier.want(pair):
                    yield request
        except Unreadable as error:
            self._end(address, _status(error), f"{error.detail}; {tally.summary()}", tally.pairs)
        else:
            broken = next((name for name in tally.damage if name.startswith("source_")), None)
            self._end(address, "connection_error" if broken else "ok", tally.summary(), tally.pairs)

    def _archived(self, address: str, tally: Tally) -> Iterator[Pair]:
        with opened(address, self.access) as source:
            for page in pages_of(source, self.settings.user_agent, self.settings.marks, tally):
                yield from page.pairs

    async def pictures(self) -> AsyncIterator[ShardSample]:
        """The samples of all shards; shards are read again when pictures of the batch are missing, for those may have come from them."""
        missing = any(not pair.url.startswith("file:") for pair in self.journal.missing)
        for address in self.settings.shards:
            if address not in self.unread and not missing:
                continue
            self.unread[address] = None
            shard = Shard(address, self.access, self.settings.max_bytes)
            try:
                async for sample in Portions(shard.samples(), self.reader).given():
                    yield sample
            except Unreadable as error:
                self._end(address, _status(error), error.detail, shard.count)
                continue
            wrong = ", ".join(f"{name} {count}" for name, count in sorted(shard.damage.items()))
            broken = any(name.startswith("source_") for name in shard.damage)
            self._end(address, "connection_error" if broken else "ok", f"damage: {wrong}" if wrong else "", shard.count)

    async def _sitemaps(self, addresses: Iterable[str]) -> AsyncIterator[Wanted]:
        """One sitemap after another, with the pages of each before the next one is asked for, so that only one is held."""
        waiting = deque((address, site_of(address), 0) for address in addresses)
        while waiting:
            address, owner, depth = waiting.popleft()
            if address in self.asked:
                continue
            if len(self.asked) >= self.settings.max_sitemaps or depth > MAX_DEPTH:
                self._end_map(address, "ok", f"not read: more than {self.settings.max_sitemaps} sitemaps, or deeper than {MAX_DEPTH}")
                continue
            self.asked.add(address)
            self.unread[address] = None
            yield self._map_request(address, owner, depth)
            while address in self.unread and not self.answered:
                await asyncio.sleep(0.05)
            while self.answered:
                owner, depth, found = self.answered.popleft()
                waiting.extend((url, owner, depth + 1) for url in found.maps)
                for url, pairs in found.pages:
                    for request in self.frontier.visit_listed(url, pairs) if site_of(url) == owner else ():
                        yield request

    def _map_request(self, url: str, owner: str, depth: int) -> Request:
        known: dict[str, object] = {"url": url, "owner": owner, "depth": depth}
        meta = {"is_map": True, "download_maxsize": MAX_BYTES}
        return Request(url, self.sitemap, errback=self.no_sitemap, cb_kwargs=known, meta=meta, priority=20, dont_filter=True)

    async def sitemap(self, response: Response, url: str, owner: str, depth: int) -> None:
        """Takes a sitemap, or a robots.txt that names some."""
        if response.status != 200:
            self._end_map(url, http_status(response.status), f"HTTP {response.status}")
            return
        read: Callable[[bytes], Sitemap] = maps_in_robots if url.endswith("/robots.txt") else read_sitemap
        found = await asyncio.get_running_loop().run_in_executor(self.reader, read, response.body)
        pictures = sum(len(pairs) for _, pairs in found.pages)
        detail = f"{len(found.pages)} pages, {len(found.maps)} sitemaps" + (f"; {found.flaw}" if found.flaw else "")
        self.answered.append((owner, depth, found))
        self._end_map(url, "ok", detail, pictures)

    async def no_sitemap(self, failure: Any) -> None:  # Scrapy puts `request` on Twisted's Failure
        """Records a sitemap that could not be had."""
        self._end_map(failure.request.cb_kwargs["url"], *failure_reason(failure))

    def settle(self, status: str, detail: str) -> None:
        """Gives every source whose reading has not ended this status, and every pair of lists and folders that was not read yet; another
        run that tries again what failed reads them."""
        for address in list(self.unread):
            is_map = address in self.asked or address in self.settings.sitemaps
            (self._end_map if is_map else self._end)(address, status, f"{detail}, and it was not read to its end")
        self.reader.shutdown(wait=False, cancel_futures=True)
        self.frontier.settle_unread((pair for pair, _ in self.files), status, detail)
        for pair in self.listed.rest():
            for _ in self.frontier.want(pair):
                self.frontier.settle(pair, status, detail)


def _status(error: Unreadable) -> str:
    return error.reason if error.reason in STATUSES else "connection_error"

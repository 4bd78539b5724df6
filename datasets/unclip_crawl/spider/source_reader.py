"""Feeding: lists, archives, shards and sitemaps become the spider's work, some at a time, however long they are.

Files are read in a thread of their own, so that a slow disk or a distant archive holds no download up, and no faster than the spider
settles what came before. How the reading of an archive, a shard or a sitemap ended is a row among the pages.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from scrapy import Request
from scrapy.http import Response

from unclip_crawl.addresses import site_of
from unclip_crawl.archives.read import Tally, pages_of
from unclip_crawl.journal.journal import MAP
from unclip_crawl.journal.rows import DETAIL_LENGTH
from unclip_crawl.sources.lists import pairs_from_list
from unclip_crawl.sources.sitemaps import MAX_BYTES, MAX_DEPTH, Sitemap, maps_in_robots, read_sitemap
from unclip_crawl.sources.streams import Unreadable, opened
from unclip_crawl.sources.tar_shards import Packed, Shard
from unclip_crawl.spider.errors import ended, http_status
from unclip_pairs.schema import STATUSES, Pair

if TYPE_CHECKING:
    from unclip_crawl.spider.spider import PairSpider

PORTION = 256
PORTION_S = 0.5
PORTION_BYTES = 16 * 2**20
T = TypeVar("T")


def take(items: Iterator[T]) -> list[T]:
    """The next items: at most `PORTION` or `PORTION_BYTES`, or what comes in `PORTION_S`, but one at least; empty at the end."""
    taken, size, until = list[T](), 0, time.monotonic() + PORTION_S
    for item in items:
        taken.append(item)
        size += len(item.data) if isinstance(item, Packed) else 0
        if len(taken) == PORTION or size >= PORTION_BYTES or time.monotonic() >= until:
            break
    return taken


class Feeder:
    """Reads one spider's sources. `unread` are the archives, shards and sitemaps whose reading has not ended: all, or in a batch that was
    finished once those that failed for a passing reason."""

    def __init__(self, spider: "PairSpider") -> None:
        self.spider = spider
        self.orders = spider.orders
        self.journal = spider.journal
        self.reader = ThreadPoolExecutor(1, "read")
        named = dict.fromkeys((*self.orders.shards, *self.orders.archives, *self.orders.sitemaps))
        self.unread = {address: None for address in named if not spider.only_missing or address in self.journal.missing_pages}
        self.answered: deque[tuple[str, int, Sitemap]] = deque()
        self.asked: set[str] = set()

    async def _portions(self, items: Iterator[T]) -> AsyncIterator[T]:
        """The items, read in the reading thread."""
        while portion := await asyncio.get_running_loop().run_in_executor(self.reader, take, items):
            for item in portion:
                yield item

    def _end(self, address: str, status: str, detail: str, pictures: int = 0) -> None:
        self.unread.pop(address, None)
        self.journal.add_source(address, status, detail, pictures)

    def _end_map(self, address: str, status: str, detail: str, pictures: int = 0) -> None:
        self._end(address, status, detail[: DETAIL_LENGTH - len(MAP)] + MAP, pictures)

    async def requests(self) -> AsyncIterator[Request | Pair]:
        """Pairs and requests for what lists and archives name and sitemaps lead to, in this order."""
        if not self.spider.only_missing:
            async for pair in self._portions(chain.from_iterable(map(pairs_from_list, self.orders.lists))):
                for request in self.spider.want(pair):
                    yield request
        for address in self.orders.archives:
            if address in self.unread:
                async for request in self._archive(address):
                    yield request
        maps = (address for address in self.orders.sitemaps if address in self.unread)
        async for request in self._sitemaps((*maps, *self.journal.missing_maps)):
            yield request

    async def _archive(self, address: str) -> AsyncIterator[Request | Pair]:
        tally = Tally()
        try:
            async for pair in self._portions(self._archived(address, tally)):
                for request in self.spider.want(pair):
                    yield request
        except Unreadable as error:
            self._end(address, _status(error), f"{error.detail}; {tally.told()}", tally.pairs)
        else:
            broken = next((name for name in tally.damage if name.startswith("source_")), None)
            self._end(address, "connection_error" if broken else "ok", tally.told(), tally.pairs)

    def _archived(self, address: str, tally: Tally) -> Iterator[Pair]:
        with opened(address, self.orders.access) as source:
            for page in pages_of(source, self.orders.user_agent, self.orders.marks, tally):
                yield from page.pairs

    async def pictures(self) -> AsyncIterator[Packed]:
        """The samples of all shards; shards are read again when pictures of the batch are missing, for those may have come from them."""
        missing = any(not pair.url.startswith("file:") for pair in self.journal.missing)
        for address in self.orders.shards:
            if address not in self.unread and not missing:
                continue
            self.unread[address] = None
            shard = Shard(address, self.orders.access, self.orders.max_bytes)
            try:
                async for sample in self._portions(shard.samples()):
                    yield sample
            except Unreadable as error:
                self._end(address, _status(error), error.detail, shard.count)
                continue
            wrong = ", ".join(f"{name} {count}" for name, count in sorted(shard.damage.items()))
            broken = any(name.startswith("source_") for name in shard.damage)
            self._end(address, "connection_error" if broken else "ok", f"damage: {wrong}" if wrong else "", shard.count)

    async def _sitemaps(self, addresses: Iterable[str]) -> AsyncIterator[Request | Pair]:
        """One sitemap after another, with the pages of each before the next one is asked for, so that only one is held."""
        waiting = deque((address, site_of(address), 0) for address in addresses)
        while waiting:
            address, owner, depth = waiting.popleft()
            if address in self.asked:
                continue
            if len(self.asked) >= self.orders.max_sitemaps or depth > MAX_DEPTH:
                self._end_map(address, "ok", f"not read: more than {self.orders.max_sitemaps} sitemaps, or deeper than {MAX_DEPTH}")
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
                    for request in self.spider.visit_listed(url, pairs) if site_of(url) == owner else ():
                        yield request

    def _map_request(self, url: str, owner: str, depth: int) -> Request:
        known: dict[str, Any] = {"url": url, "owner": owner, "depth": depth}
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
        told = f"{len(found.pages)} pages, {len(found.maps)} sitemaps" + (f"; {found.flaw}" if found.flaw else "")
        self.answered.append((owner, depth, found))
        self._end_map(url, "ok", told, pictures)

    async def no_sitemap(self, failure: Any) -> None:
        """Records a sitemap that could not be had."""
        self._end_map(failure.request.cb_kwargs["url"], *ended(failure))

    def settle(self, status: str, detail: str) -> None:
        """Gives every source whose reading has not ended this status; another run that tries again what failed reads it."""
        for address in list(self.unread):
            is_map = address in self.asked or address in self.orders.sitemaps
            (self._end_map if is_map else self._end)(address, status, f"{detail}, and it was not read to its end")


def _status(error: Unreadable) -> str:
    return error.reason if error.reason in STATUSES else "connection_error"

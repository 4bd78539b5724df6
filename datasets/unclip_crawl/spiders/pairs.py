"""This file is the spider: pages give pairs, pairs give pictures, and every pair is settled exactly once."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.http import Response, TextResponse
from twisted.python.failure import Failure

from unclip_crawl.addresses import site_of, why_invalid
from unclip_crawl.charsets import encoding_of
from unclip_crawl.hash_list import HashList
from unclip_crawl.journal import Journal
from unclip_crawl.languages import tag_of
from unclip_crawl.orders import CrawlSettings
from unclip_crawl.pages import Page, Said, read_page
from unclip_crawl.pictures import prepare
from unclip_crawl.rows import failed_row
from unclip_crawl.sources import pairs_from_folder, pairs_from_list
from unclip_crawl.spiders.failures import failure_of
from unclip_crawl.spiders.manners import header_values
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.schema import Pair
from unclip_pairs.takedowns import read_takedowns

DECODERS = 2
FRONTIER = 2000
PAGE_BYTES = 5 * 2**20


class PairSpider(Spider):
    """Walks the seeds' sites, reads the lists and folders, and puts every pair into the journal with its picture or its reason."""

    name = "pairs"

    def __init__(self, orders: CrawlSettings, journal: Journal, only_missing: bool, hash_list: HashList | None = None) -> None:
        super().__init__()
        self.orders = orders
        self.journal = journal
        self.only_missing = only_missing
        self.hash_list = hash_list
        self.takedowns = read_takedowns(journal.store)
        self.pending: dict[str, Pair] = {}
        self.pending_pages: set[str] = set()
        self.seen_pages: set[str] = set()
        self.sources_read = False
        self.error: BaseException | None = None
        self.decoders = ThreadPoolExecutor(DECODERS, "decode")
        self.writer = ThreadPoolExecutor(1, "write")
        self.writing = asyncio.Lock()

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> "PairSpider":
        """Built by Scrapy; a bug in a callback is remembered, not only logged."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.take_error, signal=signals.spider_error)
        return spider

    def take_error(self, failure: Failure) -> None:
        """Remembers the first error."""
        self.error = self.error or failure.value

    async def start(self) -> AsyncIterator[Request]:
        """What earlier runs left missing, then the seeds, the lists and the folders; waits while enough is under way."""
        requests = self._first_requests()
        for request in requests:
            yield request
            while len(self.pending) > FRONTIER:
                await asyncio.sleep(0.05)
        for folder in self.orders.folders:
            for pair, path in pairs_from_folder(folder):
                await self._take_file(pair, path)
        self.sources_read = True

    def _first_requests(self) -> Iterator[Request]:
        for pair in self.journal.missing:
            if pair.url.startswith(("http://", "https://")):
                yield from self._request(pair)
        for url in self.journal.missing_pages:
            yield from self._visit([url])
        if not self.only_missing:
            yield from self._visit(self.orders.seeds)
            for path in self.orders.lists:
                for pair in pairs_from_list(path):
                    yield from self._want(pair)

    def _want(self, pair: Pair) -> Iterator[Request]:
        """The request for a pair, unless it is settled, under way, a repeated address or no address at all."""
        if pair.key in self.journal.statuses or pair.key in self.pending:
            return
        invalid = why_invalid(pair.url)
        if invalid is not None:
            self.journal.add(failed_row(pair, "invalid_url", invalid))
        elif pair.context.opt_out is not None:
            self.journal.add(failed_row(pair, "opt_out", pair.context.opt_out))
        elif pair.url in self.journal.urls:
            self.journal.add(failed_row(pair, "duplicate_url", "the same address under another caption"))
        else:
            yield from self._request(pair)

    def _request(self, pair: Pair) -> Iterator[Request]:
        try:
            request = Request(pair.url, self.picture, errback=self.no_picture, cb_kwargs={"pair": pair}, dont_filter=True)
        except ValueError as error:
            self.journal.add(failed_row(pair, "invalid_url", str(error)))
            return
        self.pending[pair.key] = pair
        self.journal.urls.add(pair.url)
        yield request

    def _visit(self, urls: tuple[str, ...] | list[str]) -> Iterator[Request]:
        """Requests for pages not seen yet; pages an earlier run has read are followed without asking for them again."""
        waiting = list(reversed(urls))
        while waiting:
            url = waiting.pop()
            if url in self.seen_pages or len(self.seen_pages) >= self.orders.max_pages:
                continue
            self.seen_pages.add(url)
            known = self.journal.known_page(url)
            if known is None:
                yield self._page_request(url)
                continue
            yield from self._pictures(known)
            waiting.extend(reversed(self._links(known)))

    def _page_request(self, url: str) -> Request:
        self.pending_pages.add(url)
        # pages first while the frontier is small, so that the total is known early; pictures first when it has grown
        priority = 10 if len(self.pending) < FRONTIER * 10 else -10
        meta = {"is_page": True, "download_maxsize": PAGE_BYTES}
        return Request(url, self.page, errback=self.no_page, cb_kwargs={"url": url}, meta=meta, priority=priority, dont_filter=True)

    def _pictures(self, page: Page) -> Iterator[Request]:
        for pair in page.pairs:
            yield from self._want(pair)

    def _links(self, page: Page) -> list[str]:
        return [link for link in page.links if site_of(link) == site_of(page.url)]

    async def page(self, response: Response, url: str) -> AsyncIterator[Request]:
        """Records the page and follows it."""
        self.pending_pages.discard(url)
        page, status, detail = self._read(response, url)
        self.journal.add_page(page, status, detail)
        for request in (*self._pictures(page), *self._visit(self._links(page))):
            yield request
        await self.write_if_due()

    def _read(self, response: Response, url: str) -> tuple[Page, str, str]:
        nothing = Page(url, (), (), None)
        if response.status != 200:
            return nothing, _http_status(response.status), f"HTTP {response.status}"
        if site_of(response.url) != site_of(url):
            return nothing, "redirect_error", f"leads off the site to {response.url}"
        if not isinstance(response, TextResponse):
            return nothing, "ok", "not a page"
        content_type, language = (", ".join(header_values(response.headers, name)) for name in ("Content-Type", "Content-Language"))
        said = Said(tag_of(language), response.meta.get("opt_out"))
        encoding = encoding_of(response.body, content_type)
        found = read_page(response.body, response.url, self.orders.token, encoding, self.orders.marks, said)
        return replace(found, url=url), "ok", ""

    async def no_page(self, failure: Failure) -> None:
        """Records a page that could not be had."""
        request: Request = failure.request  # type: ignore[attr-defined]
        url = request.cb_kwargs["url"]
        self.pending_pages.discard(url)
        self.journal.add_page(Page(url, (), (), None), *_ended(failure))

    async def picture(self, response: Response, pair: Pair) -> None:
        """Stores the picture or records why not."""
        kind = (header_values(response.headers, "Content-Type") or [""])[0].partition(";")[0].strip().lower() or None
        refusal = self._refusal(response)
        if refusal is None:
            await self._store(pair, response.body, kind)
        else:
            self._settle_failed(pair, *refusal, kind)
        await self.write_if_due()

    def _refusal(self, response: Response) -> tuple[str, str] | None:
        if response.status != 200:
            return _http_status(response.status), f"HTTP {response.status}"
        return None

    async def _store(self, pair: Pair, data: bytes, kind: str | None) -> None:
        """Decodes and shrinks in a thread, so that the network goes on meanwhile."""
        try:
            prepared = await asyncio.get_running_loop().run_in_executor(self.decoders, prepare, data, self.orders.bounds, self.hash_list)
        except DecodeError as error:
            self._settle_failed(pair, error.reason, error.detail, kind, len(data))
            return
        if prepared.sha256 in self.takedowns.sha256:
            self._settle_failed(pair, "taken_down", "the same bytes were taken down by request", kind, len(data))
        elif self.pending.pop(pair.key, None) is not None:
            self.journal.add_picture(pair, prepared, kind)

    def _settle_failed(self, pair: Pair, status: str, detail: str, kind: str | None = None, size: int | None = None) -> None:
        if self.pending.pop(pair.key, None) is not None:
            self.journal.add(failed_row(pair, status, detail, kind, size))

    async def no_picture(self, failure: Failure) -> None:
        """Records a picture that could not be had."""
        request: Request = failure.request  # type: ignore[attr-defined]
        self._settle_failed(request.cb_kwargs["pair"], *_ended(failure))
        await self.write_if_due()

    async def _take_file(self, pair: Pair, path: Path) -> None:
        """A picture from a folder takes the same way in, without the network."""
        if pair.key in self.journal.statuses or pair.key in self.pending:
            return
        self.pending[pair.key] = pair
        try:
            size = path.stat().st_size
            if size > self.orders.max_bytes:
                self._settle_failed(pair, "too_large", f"{size} bytes are more than {self.orders.max_bytes}")
                return
            await self._store(pair, path.read_bytes(), None)
        except OSError as error:
            self._settle_failed(pair, "disk_error", str(error))
        await self.write_if_due()

    async def write_if_due(self) -> None:
        """Takes what has gathered to the disk, in the one writing thread, one write at a time; a disk that fails ends the crawl."""
        if self.error is not None or not self.journal.is_due() or (self.writing.locked() and not self.journal.is_full()):
            return
        async with self.writing:
            if self.journal.is_due():
                try:
                    await asyncio.get_running_loop().run_in_executor(self.writer, self.journal.write, self.journal.take())
                except (UserError, OSError) as error:
                    self.error = self.error or error

    def settle_the_rest(self, status: str, detail: str) -> None:
        """Gives every pair and page that is still open this status: those under way and those not read yet."""
        for pair in list(self.pending.values()):
            self._settle_failed(pair, status, detail)
        for url in self.pending_pages:
            self.journal.add_page(Page(url, (), (), None), status, detail)
        self._settle_unread(self.journal.missing, status, detail)
        for folder in self.orders.folders:
            self._settle_unread((pair for pair, _ in pairs_from_folder(folder)), status, detail)
        for path in () if self.only_missing else self.orders.lists:
            for pair in pairs_from_list(path):
                for _ in self._want(pair):
                    self._settle_failed(pair, status, detail)

    def _settle_unread(self, pairs: Iterable[Pair], status: str, detail: str) -> None:
        for pair in pairs:
            if pair.key not in self.journal.statuses:
                self.journal.add(failed_row(pair, status, detail))


def _ended(failure: Failure) -> tuple[str, str]:
    """Status and detail of a download that failed."""
    assert failure.value is not None
    return failure_of(failure.value, failure.request.url)  # type: ignore[attr-defined]


def _http_status(code: int) -> str:
    return "redirect_error" if 300 <= code < 400 else "http_error"

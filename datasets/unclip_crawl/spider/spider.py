"""Spider: pages give pairs, pairs give pictures, and every pair is settled exactly once."""

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
from unclip_crawl.consent import DATA_MINING
from unclip_crawl.journal.journal import Journal
from unclip_crawl.journal.rows import failed_row
from unclip_crawl.languages import tag_of
from unclip_crawl.pages.charsets import encoding_of
from unclip_crawl.pages.html import Page, Said, read_page
from unclip_crawl.pictures.hash_list import HashList
from unclip_crawl.pictures.prepare import prepare
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.lists import pairs_from_folder, pairs_from_list
from unclip_crawl.sources.tar_shards import Packed
from unclip_crawl.spider.client import Answer, plain
from unclip_crawl.spider.errors import ended, failure_of, http_status
from unclip_crawl.spider.host_queues import Line
from unclip_crawl.spider.politeness import Manners, header_values
from unclip_crawl.spider.source_reader import Feeder
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.schema import Pair

DECODERS = 2
FRONTIER = 2000
PAGE_BYTES = 5 * 2**20
MEDIA = {"jpg": "image/jpeg"}
Wanted = Request | Pair


class PairSpider(Spider):
    """Walks the seeds' sites, reads the lists and folders, and puts every pair into the journal with its picture or its reason."""

    name = "pairs"

    def __init__(self, orders: CrawlSettings, journal: Journal, only_missing: bool, hash_list: HashList | None, manners: Manners) -> None:
        super().__init__()
        self.orders = orders
        self.journal = journal
        self.only_missing = only_missing
        self.hash_list = hash_list
        self.manners = manners
        self.line = Line(self.fetch_picture, orders.concurrency_per_host)
        self.pending: dict[str, Pair] = {}
        self.pending_pages: set[str] = set()
        self.seen_pages: set[str] = set()
        self.sources_read = False
        self.error: BaseException | None = None
        self.decoders = ThreadPoolExecutor(DECODERS, "decode")
        self.writer = ThreadPoolExecutor(1, "write")
        self.writing = asyncio.Lock()
        self.listed: dict[str, tuple[Pair, ...]] = {}
        self.feeder = Feeder(self)

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
        """Shards, then what earlier runs left missing, the seeds, all other sources; waits while enough is under way."""
        try:
            await self._take_shards()
            async for wanted in self._requests():
                for request in self._started(wanted):
                    yield request
                while len(self.pending) > FRONTIER or len(self.pending_pages) > FRONTIER:
                    await asyncio.sleep(0.01)
            for folder in self.orders.folders:
                for pair, path in pairs_from_folder(folder):
                    await self._take_file(pair, path)
        except Exception as error:  # Scrapy would log it and go on as if all had been read
            self.error = self.error or error
        self.sources_read = True
        while self.pending or self.pending_pages:  # Scrapy knows of pages only, and would take the crawl for done
            await asyncio.sleep(0.05)
        await self.manners.client.close()

    def _started(self, wanted: Wanted) -> Iterator[Request]:
        """Puts a picture into its host's line; gives a page's request to Scrapy."""
        if isinstance(wanted, Pair):
            self.line.put(wanted)
        else:
            yield wanted

    async def _requests(self) -> AsyncIterator[Wanted]:
        for pair in self.journal.missing:
            if pair.url.startswith(("http://", "https://")) and pair.key not in self.journal.statuses and pair.key not in self.pending:
                for request in self._request(pair):
                    yield request
        sources = {*self.feeder.unread, *self.journal.missing_maps}
        pages = [url for url in self.journal.missing_pages if url not in sources]
        for request in self._visit([*pages, *(() if self.only_missing else self.orders.seeds)]):
            yield request
        async for request in self.feeder.requests():
            yield request

    def want(self, pair: Pair) -> Iterator[Wanted]:
        """The pair, now under way, unless it is settled, under way, a repeated address or no address at all."""
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

    def _request(self, pair: Pair) -> Iterator[Wanted]:
        self.pending[pair.key] = pair
        self.journal.urls.add(pair.url)
        yield pair

    def _visit(self, urls: tuple[str, ...] | list[str]) -> Iterator[Wanted]:
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
            yield from self._pictures(self._with_listed(known))
            waiting.extend(reversed(self._links(known)))

    def visit_listed(self, url: str, pairs: tuple[Pair, ...]) -> Iterator[Wanted]:
        """The request for a page that a sitemap lists; its pictures wait until the page was read, for the page may opt out."""
        if url in self.seen_pages and url not in self.pending_pages:
            self.listed[url] = pairs
            yield from self._settle_listed(url, self.journal.pages[url])
        elif url in self.seen_pages or len(self.seen_pages) < self.orders.max_pages:
            self.listed[url] = (*self.listed.get(url, ()), *pairs)
            yield from self._visit([url])

    def _with_listed(self, page: Page) -> Page:
        """The page with the pictures that a sitemap lists for it and that it does not show itself."""
        shown = {pair.url for pair in page.pairs}
        listed = (pair for pair in self.listed.pop(page.url, ()) if pair.url not in shown)
        more = (replace(pair, context=replace(pair.context, opt_out=page.opt_out)) for pair in listed)
        return replace(page, pairs=(*page.pairs, *more))

    def _settle_listed(self, url: str, record: dict[str, Any]) -> Iterator[Wanted]:
        """What becomes of a page's listed pictures when the page ended as recorded: without the page, nobody knows what it allows."""
        if record["status"] == "ok":
            yield from self._pictures(self._with_listed(Page(url, (), (), record["opt_out"])))
            return
        for pair in self.listed.pop(url, ()):
            if pair.key not in self.journal.statuses and pair.key not in self.pending:
                self.journal.add(failed_row(pair, record["status"], record["detail"]))

    def _page_request(self, url: str) -> Request:
        self.pending_pages.add(url)
        # pages first while the frontier is small, so that the total is known early; pictures first when it has grown
        priority = 10 if len(self.pending) < FRONTIER * 10 else -10
        meta = {"is_page": True, "download_maxsize": PAGE_BYTES}
        return Request(url, self.page, errback=self.no_page, cb_kwargs={"url": url}, meta=meta, priority=priority, dont_filter=True)

    def _pictures(self, page: Page) -> Iterator[Wanted]:
        for pair in page.pairs:
            yield from self.want(pair)

    def _links(self, page: Page) -> list[str]:
        return [link for link in page.links if site_of(link) == site_of(page.url)]

    async def page(self, response: Response, url: str) -> AsyncIterator[Request]:
        """Records the page and follows it."""
        self.pending_pages.discard(url)
        page, status, detail = self._read(response, url)
        page = self._with_listed(page) if status == "ok" else page
        self.journal.add_page(page, status, detail)
        listed = self._settle_listed(url, self.journal.pages[url])
        for wanted in (*listed, *self._pictures(page), *self._visit(self._links(page))):
            for request in self._started(wanted):
                yield request
        await self.write_if_due()

    def _read(self, response: Response, url: str) -> tuple[Page, str, str]:
        nothing = Page(url, (), (), None)
        if response.status != 200:
            return nothing, http_status(response.status), f"HTTP {response.status}"
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
        self.journal.add_page(Page(url, (), (), None), *ended(failure))
        for _ in self._settle_listed(url, self.journal.pages[url]):
            raise AssertionError("a page that could not be had gives no requests")

    async def fetch_picture(self, pair: Pair) -> None:
        """Stores the picture or records why not; what is no way for a download to end is a bug, and ends the crawl."""
        try:
            await self._take(pair, await self.manners.fetch(plain(pair.url)))
        except Exception as error:
            try:
                self._settle_failed(pair, *failure_of(error, pair.url))
            except Exception as bug:
                self.error = self.error or bug
        await self.write_if_due()

    async def _take(self, pair: Pair, answer: Answer) -> None:
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None
        if answer.status != 200:
            self._settle_failed(pair, http_status(answer.status), f"HTTP {answer.status}", kind)
            return
        client, size = self.manners.client, len(answer.body)
        client.undecoded += size
        try:
            await self._store(pair, answer.body, kind)
        finally:
            client.undecoded -= size

    async def _store(self, pair: Pair, data: bytes, kind: str | None, told: dict[str, Any] | None = None) -> None:
        """Decodes and shrinks in a thread, so that the network goes on meanwhile."""
        try:
            prepared = await asyncio.get_running_loop().run_in_executor(self.decoders, prepare, data, self.orders.bounds, self.hash_list)
        except DecodeError as error:
            self._settle_failed(pair, error.reason, error.detail, kind, len(data))
            return
        digests = {prepared.sha256, (told or {}).get("sha256", prepared.sha256)}
        prepared = replace(prepared, **(told or {}))
        if DATA_MINING in self.orders.marks and prepared.rights.opt_out is not None:
            self._settle_failed(pair, "opt_out", prepared.rights.opt_out, kind, len(data))
        elif digests & self.manners.takedowns.sha256:
            self._settle_failed(pair, "taken_down", "the same bytes were taken down by request", kind, len(data))
        elif self.pending.pop(pair.key, None) is not None:
            self.journal.add_picture(pair, prepared, kind)

    def _settle_failed(self, pair: Pair, status: str, detail: str, kind: str | None = None, size: int | None = None) -> None:
        if self.pending.pop(pair.key, None) is not None:
            self.journal.add(failed_row(pair, status, detail, kind, size))

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

    async def _take_shards(self) -> None:
        """The pictures of shards take the same way in, as many at once as there are decoders."""
        missing = {pair.key for pair in self.journal.missing}
        running: set[asyncio.Task[None]] = set()
        async for sample in self.feeder.pictures():
            running.add(asyncio.create_task(self._take_sample(sample, sample.pair.key in missing)))
            if len(running) >= DECODERS:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        await asyncio.gather(*running)

    async def _take_sample(self, sample: Packed, is_missing: bool) -> None:
        pair = sample.pair
        if pair.key in self.journal.statuses or pair.key in self.pending:
            return
        taken = self.manners.takedowns.forbids(pair.url) or ("taken down by its key" if pair.key in self.manners.takedowns.keys else None)
        is_repeated = pair.url in self.journal.urls and not is_missing
        self.pending[pair.key] = pair
        self.journal.urls.add(pair.url)
        if taken is not None:
            self._settle_failed(pair, "taken_down", taken)
        elif is_repeated:
            self._settle_failed(pair, "duplicate_url", "the same address under another caption")
        elif sample.failure is not None:
            self._settle_failed(pair, *sample.failure)
        else:
            await self._store(pair, sample.data, MEDIA.get(sample.extension, f"image/{sample.extension}"), sample.told)
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
            for _ in self._settle_listed(url, self.journal.pages[url]):
                raise AssertionError("a page that could not be had gives no requests")
        self.feeder.settle(status, detail)
        self._settle_unread(self.journal.missing, status, detail)
        for folder in self.orders.folders:
            self._settle_unread((pair for pair, _ in pairs_from_folder(folder)), status, detail)
        for path in () if self.only_missing else self.orders.lists:
            for pair in pairs_from_list(path):
                for _ in self.want(pair):
                    self._settle_failed(pair, status, detail)

    def _settle_unread(self, pairs: Iterable[Pair], status: str, detail: str) -> None:
        for pair in pairs:
            if pair.key not in self.journal.statuses:
                self.journal.add(failed_row(pair, status, detail))

"""Spider: Scrapy's side of a crawl. Pages are asked for through Scrapy, pictures through the host queues; the frontier knows what is under
way, the intake takes pictures in, the source reader gives what lists, archives, shards and sitemaps name."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response, TextResponse
from twisted.python.failure import Failure

from unclip_crawl.addresses import site_of
from unclip_crawl.journal.journal import Journal
from unclip_crawl.languages import tag_of
from unclip_crawl.pages.charsets import encoding_of
from unclip_crawl.pages.html import HeaderSignals, Page, read_page
from unclip_crawl.pictures.hash_list import HashList
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.tar_shards import ShardSample
from unclip_crawl.spider.client import plain
from unclip_crawl.spider.errors import failure_of, failure_reason, http_status
from unclip_crawl.spider.frontier import Frontier, Wanted, empty_page
from unclip_crawl.spider.host_queues import HostQueues
from unclip_crawl.spider.intake import DECODERS, Intake
from unclip_crawl.spider.politeness import Politeness, header_values
from unclip_crawl.spider.source_reader import SourceReader
from unclip_pairs.errors import UserError
from unclip_pairs.schema import Pair

PAGE_BYTES = 5 * 2**20


class PairSpider(Spider):
    """Crawls the seeds' sites, reads the lists and folders, and puts every pair into the journal with its picture or its reason.

    `crawl_settings` are ours; `settings` are Scrapy's own.
    """

    name = "pairs"

    def __init__(
        self, crawl_settings: CrawlSettings, journal: Journal, only_missing: bool, hash_list: HashList | None, politeness: Politeness
    ) -> None:
        super().__init__()
        self.crawl_settings = crawl_settings
        self.journal = journal
        self.only_missing = only_missing
        self.politeness = politeness
        self.queues = HostQueues(self.fetch_picture, crawl_settings.concurrency_per_host)
        self.frontier = Frontier(journal, crawl_settings.max_pages, self._page_request)
        self.intake = Intake(crawl_settings, journal, self.frontier, politeness, hash_list)
        self.source_reader = SourceReader(crawl_settings, journal, self.frontier, only_missing)
        self.sources_read = False
        self.error: BaseException | None = None
        self.writer = ThreadPoolExecutor(1, "write")
        self.writing = asyncio.Lock()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: object, **kwargs: object) -> "PairSpider":
        """Built by Scrapy; a bug in a callback is remembered, not only logged."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.take_error, signal=signals.spider_error)
        return spider

    def take_error(self, failure: Failure) -> None:
        """Remembers the first error."""
        self.error = self.error or failure.value

    async def start(self) -> AsyncIterator[Request]:
        """Shards, then what earlier runs left missing, the seeds, all other sources; waits while enough is under way."""
        frontier = self.frontier
        try:
            await self._take_shards()
            async for wanted in self._wanted():
                for request in self._started([wanted]):
                    yield request
                while frontier.is_full():
                    await asyncio.sleep(0.01)
            for pair, path in self.source_reader.files:
                await self.intake.take_file(pair, path)
                await self.write_if_due()
        except Exception as error:  # Scrapy would log it and go on as if all had been read
            self.error = self.error or error
        self.sources_read = True
        while frontier.pending or frontier.pending_pages:  # Scrapy knows of pages only, and would take the crawl for done
            await asyncio.sleep(0.05)
        await self.politeness.client.close()

    def _started(self, wanted: Iterable[Wanted]) -> Iterator[Request]:
        """Puts pictures into their hosts' queues; gives the requests for pages to Scrapy."""
        for one in wanted:
            if isinstance(one, Pair):
                self.queues.put(one)
            else:
                yield one

    async def _wanted(self) -> AsyncIterator[Wanted]:
        for wanted in self.frontier.want_again():
            yield wanted
        sources = {*self.source_reader.unread, *self.journal.missing_maps}
        pages = [url for url in self.journal.missing_pages if url not in sources]
        for wanted in self.frontier.visit([*pages, *(() if self.only_missing else self.crawl_settings.seeds)]):
            yield wanted
        async for wanted in self.source_reader.requests():
            yield wanted

    def _page_request(self, url: str, priority: int) -> Request:
        meta = {"is_page": True, "download_maxsize": PAGE_BYTES}
        return Request(url, self.page, errback=self.no_page, cb_kwargs={"url": url}, meta=meta, priority=priority, dont_filter=True)

    async def page(self, response: Response, url: str) -> AsyncIterator[Request]:
        """Records the page and follows it."""
        for request in self._started(self.frontier.settle_page(*self._read(response, url))):
            yield request
        await self.write_if_due()

    def _read(self, response: Response, url: str) -> tuple[Page, str, str]:
        nothing = empty_page(url)
        if response.status != 200:
            return nothing, http_status(response.status), f"HTTP {response.status}"
        if site_of(response.url) != site_of(url):
            return nothing, "redirect_error", f"leads off the site to {response.url}"
        if not isinstance(response, TextResponse):
            return nothing, "ok", "not a page"
        content_type, language = (", ".join(header_values(response.headers, name)) for name in ("Content-Type", "Content-Language"))
        signals = HeaderSignals(tag_of(language), response.meta.get("opt_out"))
        encoding, settings = encoding_of(response.body, content_type), self.crawl_settings
        found = read_page(response.body, response.url, settings.token, encoding, settings.marks, signals)
        return replace(found, url=url), "ok", ""

    async def no_page(self, failure: Failure) -> None:
        """Records a page that could not be had."""
        request: Request = failure.request  # type: ignore[attr-defined]
        page = empty_page(request.cb_kwargs["url"])
        if any(True for _ in self.frontier.settle_page(page, *failure_reason(failure))):
            raise AssertionError("a page that could not be had gives no requests")

    async def fetch_picture(self, pair: Pair) -> None:
        """Stores the picture or records why not; what is no way for a download to end is a bug, and ends the crawl."""
        try:
            await self.intake.take_answer(pair, await self.politeness.fetch(plain(pair.url)))
        except Exception as error:
            try:
                self.frontier.settle(pair, *failure_of(error, pair.url))
            except Exception as bug:
                self.error = self.error or bug
        await self.write_if_due()

    async def _take_shards(self) -> None:
        """The pictures of shards, as many at once as there are decoders."""
        missing = {pair.key for pair in self.journal.missing}
        running: set[asyncio.Task[None]] = set()
        async for sample in self.source_reader.pictures():
            running.add(asyncio.create_task(self._take_sample(sample, sample.pair.key in missing)))
            if len(running) >= DECODERS:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        await asyncio.gather(*running)

    async def _take_sample(self, sample: ShardSample, is_missing: bool) -> None:
        await self.intake.take_sample(sample, is_missing)
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
        self.frontier.settle_the_rest(status, detail)
        self.source_reader.settle(status, detail)

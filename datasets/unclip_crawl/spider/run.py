"""Run: one batch from its orders to its manifest, in this process."""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from signal import SIGINT, SIGTERM
from typing import Any

from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.logformatter import LogFormatter

from unclip_crawl.crawl import Progress, was_finished
from unclip_crawl.journal.journal import Journal, open_journal
from unclip_crawl.journal.recheck import expel_listed
from unclip_crawl.pictures.hash_list import HashList, read_hash_list
from unclip_crawl.settings import CrawlSettings, check_sources, source_digests
from unclip_crawl.spider.politeness import Manners
from unclip_crawl.spider.spider import PairSpider
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns

BEAT_S = 0.5
# a host that let one request wait until the time limit is not asked again in the same run, or a few dead ones hold up the end of a batch
RETRIED = [
    *("scrapy.exceptions.DownloadConnectionRefusedError", "scrapy.exceptions.DownloadFailedError"),
    *("scrapy.exceptions.ResponseDataLossError", "twisted.internet.error.ConnectionDone", "twisted.internet.error.ConnectError"),
    "twisted.internet.error.ConnectionLost",
]


class Interrupted(Exception):
    """The crawl was asked to stop; what it did is kept and another run goes on from there."""


class NoLines(LogFormatter):
    """Scrapy formats a line per answer even when nobody reads it; this formats none."""

    def crawled(self, request: Any, response: Any, spider: Any) -> Any:
        """No line."""
        return None


_MANNERS = "scrapy.downloadermiddlewares"
# Scrapy with what a polite picture crawl needs and nothing else: no cookies, no proxy, no console, no statistics
LEAN: dict[str, Any] = {
    "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*"},
    "TWISTED_DNS_RESOLVER": "unclip_crawl.spider.resolver.GuardedResolver",
    "DNSCACHE_ENABLED": False,
    "DOWNLOAD_HANDLERS_BASE": dict.fromkeys(("http", "https"), "unclip_crawl.spider.handler.PacedHandler"),
    "DOWNLOADER_MIDDLEWARES_BASE": {
        "unclip_crawl.spider.politeness.PageManners": 100,
        f"{_MANNERS}.downloadtimeout.DownloadTimeoutMiddleware": 350,
        f"{_MANNERS}.defaultheaders.DefaultHeadersMiddleware": 400,
        f"{_MANNERS}.useragent.UserAgentMiddleware": 500,
        f"{_MANNERS}.retry.RetryMiddleware": 550,
        "unclip_crawl.spider.politeness.QuietRedirects": 600,
    },
    "SPIDER_MIDDLEWARES_BASE": {"scrapy.spidermiddlewares.start.StartSpiderMiddleware": 25},
    "EXTENSIONS_BASE": {},
    "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
    "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
    "WARN_ON_GENERATOR_RETURN_VALUE": False,
    "LOG_FORMATTER": "unclip_crawl.spider.run.NoLines",
    "LOG_INSTALL_ROOT_HANDLER": False,
    "LOG_LEVEL": "ERROR",
    "LOG_VERSIONS": [],
    "TELNETCONSOLE_ENABLED": False,
    "COOKIES_ENABLED": False,
    "CONCURRENT_ITEMS": 1,
    # the pace is kept by unclip_crawl.spider.throttle, for pages and pictures together
    "DOWNLOAD_DELAY": 0,
    "CONCURRENT_REQUESTS": 64,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 64,
    "DOWNLOAD_WARNSIZE": 0,
    "DOWNLOAD_VERIFY_CERTIFICATES": True,
    "RETRY_EXCEPTIONS": RETRIED,
    "REDIRECT_MAX_TIMES": 5,
}


def scrapy_settings(orders: CrawlSettings) -> dict[str, Any]:
    """`LEAN` with this crawl's name and bounds."""
    return LEAN | {
        "UNCLIP_ORDERS": orders,
        "USER_AGENT": orders.header,
        "DOWNLOAD_TIMEOUT": orders.timeout_s,
        "DOWNLOAD_MAXSIZE": orders.max_bytes,
        "RETRY_TIMES": orders.retries,
    }


@contextlib.contextmanager
def sole_owner(store: Store, batch: str) -> Iterator[None]:
    """Holds the batch's lock on this machine, which the system frees however this process ends; `UserError` when another holds it."""
    lock = store.local_path(f"crawl/{batch}/lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        for attempt in range(20):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 19:
                    raise UserError(f"the batch {batch!r} is being crawled by another process; wait for it or stop it") from None
                time.sleep(0.5)
        yield


class Watch:
    """Looks after a running spider twice a second: progress, writes, the deadline, and whether anybody still wants the result."""

    def __init__(self, spider: PairSpider, report: Progress, stop: Callable[[], None]) -> None:
        self.spider = spider
        self.report = report
        self.stop = stop
        self.deadline = time.monotonic() + spider.orders.deadline_s
        self.over = False
        self.interrupted = False

    def begin(self, parent: int | None) -> None:
        """Starts watching; ends the run on Ctrl-C, on a polite kill, and when the parent process goes away (its pipe closes)."""
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self.watch()), loop.create_task(self.keep_writing())]
        for number in (SIGINT, SIGTERM):
            loop.add_signal_handler(number, self.interrupt)
        if parent is not None:
            loop.add_reader(parent, lambda: None if os.read(parent, 4096) else self.interrupt())

    def end(self) -> None:
        """Lets the threads finish what they are writing."""
        for task in self.tasks:
            task.cancel()
        self.spider.decoders.shutdown(wait=False, cancel_futures=True)
        self.spider.writer.shutdown(wait=True)

    def interrupt(self) -> None:
        """Ends the run; the batch stays unfinished."""
        self.interrupted = True
        self.stop()

    async def watch(self) -> None:
        """Returns when the run has to end early."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.tell()
            self.over = time.monotonic() >= self.deadline
            if self.over or self.spider.error is not None:
                self.stop()
                return

    async def keep_writing(self) -> None:
        """Writes what gets old while nothing arrives; apart from `watch`, so that a slow disk holds no deadline up."""
        while True:
            await asyncio.sleep(BEAT_S)
            await self.spider.write_if_due()

    def tell(self) -> None:
        """Reports how many addresses are settled, of how many known."""
        spider = self.spider
        done = len(spider.journal.statuses)
        is_counted = spider.sources_read and not spider.pending_pages
        self.report(
            done,
            done + len(spider.pending) if is_counted else None,
            f"{spider.journal.stored} pictures stored, {len(spider.seen_pages)} pages seen",
        )


def _crawled(
    orders: CrawlSettings, journal: Journal, only_missing: bool, hash_list: HashList | None, report: Progress, parent: int | None
) -> tuple[PairSpider, Watch]:
    """Runs Scrapy until the spider is done, the deadline has passed or the run is interrupted."""
    process = AsyncCrawlerProcess(scrapy_settings(orders))
    for name in ("scrapy", "twisted"):
        logging.getLogger(name).setLevel(logging.ERROR)
    crawler = process.create_crawler(PairSpider)
    watches: list[Watch] = []

    def opened(spider: PairSpider) -> None:
        watches.append(Watch(spider, report, _stop_reactor))
        watches[0].begin(parent)

    crawler.signals.connect(opened, signal=signals.spider_opened)
    manners = Manners(orders, read_takedowns(journal.store))
    process.crawl(crawler, orders=orders, journal=journal, only_missing=only_missing, hash_list=hash_list, manners=manners)
    process.start(install_signal_handlers=False)
    assert watches, "Scrapy did not open the spider"
    watches[0].end()
    return watches[0].spider, watches[0]


def _stop_reactor() -> None:
    """Stops at once; answers under way are dropped, where a graceful stop would wait for every request in the queue."""
    from twisted.internet import reactor  # importing it installs one, so it comes after Scrapy has installed its own

    reactor.crash()  # type: ignore[attr-defined]


def run(store: Store, orders: CrawlSettings, report: Progress, parent: int | None = None) -> Manifest:
    """Crawls the batch in this process and gives its manifest. `parent` is a pipe whose end means: stop.

    `UserError` for what the user can put right, `Interrupted` when asked to stop.
    """
    check_sources(orders)
    with sole_owner(store, orders.batch):
        only_missing = was_finished(store, orders)
        hash_list = read_hash_list(orders.hash_list) if orders.hash_list else None
        if hash_list is not None:
            expel_listed(store, orders.batch, hash_list)
        digest = hash_list.digest if hash_list is not None else None
        journal = open_journal(store, orders.batch, orders.shard_size, orders.flush_s, orders.retry_failed, digest)
        spider, watch = _crawled(orders, journal, only_missing, hash_list, report, parent)
        if spider.error is not None:
            raise spider.error
        if watch.interrupted:
            journal.write(journal.take())
            raise Interrupted
        left = ("timeout", "the batch's deadline passed") if watch.over else ("connection_error", "the crawl ended before an answer came")
        spider.settle_the_rest(*left)
        watch.tell()
        return journal.finish(source_digests(orders), orders.lasting())

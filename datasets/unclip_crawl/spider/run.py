"""Run: one batch from its settings to its manifest, in this process."""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from signal import SIGINT, SIGTERM
from typing import Any

from scrapy import Request, Spider, signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response
from scrapy.logformatter import LogFormatter

from unclip_crawl.journal.completion import was_finished
from unclip_crawl.journal.journal import Journal, open_journal
from unclip_crawl.journal.recheck import expel_listed
from unclip_crawl.pictures.hash_list import HashList, read_hash_list
from unclip_crawl.retries import MAX_REDIRECTS, RETRIED_STATUSES
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.sources.inputs import checked_inputs
from unclip_crawl.spider.errors import RETRIED
from unclip_crawl.spider.politeness import Politeness
from unclip_crawl.spider.spider import PairSpider
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns

BEAT_S = 0.5


class Interrupted(Exception):
    """The crawl was asked to stop; what it did is kept and another run goes on from there."""


class NoLines(LogFormatter):
    """Scrapy formats a line per answer even when nobody reads it; this formats none."""

    def crawled(self, request: Request, response: Response, spider: Spider) -> Any:
        """No line: Scrapy takes None for it, which its types do not say."""
        return None


_MIDDLEWARES = "scrapy.downloadermiddlewares"
# Scrapy with what a polite picture crawl needs and nothing else: no cookies, no proxy, no console, no statistics
LEAN: dict[str, object] = {
    "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*"},
    "TWISTED_DNS_RESOLVER": "unclip_crawl.spider.resolver.GuardedResolver",
    "DNSCACHE_ENABLED": False,
    "DOWNLOAD_HANDLERS_BASE": dict.fromkeys(("http", "https"), "unclip_crawl.spider.handler.ThrottledHandler"),
    "DOWNLOADER_MIDDLEWARES_BASE": {
        "unclip_crawl.spider.politeness.PolitenessMiddleware": 100,
        f"{_MIDDLEWARES}.downloadtimeout.DownloadTimeoutMiddleware": 350,
        f"{_MIDDLEWARES}.defaultheaders.DefaultHeadersMiddleware": 400,
        f"{_MIDDLEWARES}.useragent.UserAgentMiddleware": 500,
        f"{_MIDDLEWARES}.retry.RetryMiddleware": 550,
        "unclip_crawl.spider.politeness.RedirectsWithoutReferer": 600,
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
    # delays are kept by unclip_crawl.spider.throttle, for pages and pictures together
    "DOWNLOAD_DELAY": 0,
    "CONCURRENT_REQUESTS": 64,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 64,
    "DOWNLOAD_WARNSIZE": 0,
    "DOWNLOAD_VERIFY_CERTIFICATES": True,
    "RETRY_EXCEPTIONS": list(RETRIED),
    "RETRY_HTTP_CODES": list(RETRIED_STATUSES),
    "REDIRECT_MAX_TIMES": MAX_REDIRECTS,
}


def scrapy_settings(settings: CrawlSettings) -> dict[str, object]:
    """`LEAN` with this crawl's name and bounds."""
    return LEAN | {
        "UNCLIP_SETTINGS": settings,
        "USER_AGENT": settings.header,
        "DOWNLOAD_TIMEOUT": settings.timeout_s,
        "DOWNLOAD_MAXSIZE": settings.max_bytes,
        "RETRY_TIMES": settings.retries,
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
        self.deadline = time.monotonic() + spider.crawl_settings.deadline_s
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
        self.spider.intake.decoders.shutdown(wait=False, cancel_futures=True)
        self.spider.writer.shutdown(wait=True)

    def interrupt(self) -> None:
        """Ends the run; the batch stays unfinished."""
        self.interrupted = True
        self.stop()

    async def watch(self) -> None:
        """Returns when the run has to end early."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.report_progress()
            self.over = time.monotonic() >= self.deadline
            if self.over or self.spider.error is not None:
                self.stop()
                return

    async def keep_writing(self) -> None:
        """Writes what gets old while nothing arrives; apart from `watch`, so that a slow disk holds no deadline up."""
        while True:
            await asyncio.sleep(BEAT_S)
            await self.spider.write_if_due()

    def report_progress(self) -> None:
        """Reports how many addresses are settled, of how many known."""
        spider = self.spider
        done = len(spider.journal.statuses)
        is_counted = spider.sources_read and not spider.frontier.pending_pages
        self.report(
            done,
            done + len(spider.frontier.pending) if is_counted else None,
            f"{spider.journal.stored} pictures stored, {len(spider.frontier.seen_pages)} pages seen",
        )


def _crawled(
    settings: CrawlSettings, journal: Journal, only_missing: bool, hash_list: HashList | None, report: Progress, parent: int | None
) -> tuple[PairSpider, Watch]:
    """Runs Scrapy until the spider is done, the deadline has passed or the run is interrupted."""
    process = AsyncCrawlerProcess(scrapy_settings(settings))
    for name in ("scrapy", "twisted"):
        logging.getLogger(name).setLevel(logging.ERROR)
    crawler = process.create_crawler(PairSpider)
    watches: list[Watch] = []

    def opened(spider: PairSpider) -> None:
        watches.append(Watch(spider, report, _stop_reactor))
        watches[0].begin(parent)

    crawler.signals.connect(opened, signal=signals.spider_opened)
    politeness = Politeness(settings, read_takedowns(journal.store))
    process.crawl(crawler, crawl_settings=settings, journal=journal, only_missing=only_missing, hash_list=hash_list, politeness=politeness)
    process.start(install_signal_handlers=False)
    assert watches, "Scrapy did not open the spider"
    watches[0].end()
    return watches[0].spider, watches[0]


def _stop_reactor() -> None:
    """Stops at once; answers under way are dropped, where a graceful stop would wait for every request in the queue."""
    from twisted.internet import reactor  # importing it installs one, so it comes after Scrapy has installed its own

    reactor.crash()  # type: ignore[attr-defined]


def run(
    store: Store, settings: CrawlSettings, report: Progress, inputs: dict[str, str] | None = None, parent: int | None = None
) -> Manifest:
    """Crawls the batch in this process and gives its manifest. `inputs` are what `checked_inputs` found when the caller has looked already;
    `parent` is a pipe whose end means: stop.

    `UserError` for what the user can put right, `Interrupted` when asked to stop.
    """
    inputs = checked_inputs(settings) if inputs is None else inputs
    with sole_owner(store, settings.batch):
        hash_list = read_hash_list(settings.hash_list) if settings.hash_list else None
        inputs |= {"hash_list": hash_list.digest} if hash_list is not None else {}
        only_missing = was_finished(store, settings, inputs)
        if hash_list is not None:
            expel_listed(store, settings.batch, hash_list)
        digest = hash_list.digest if hash_list is not None else None
        journal = open_journal(store, settings.batch, settings.shard_size, settings.flush_s, settings.retry_failed, digest)
        spider, watch = _crawled(settings, journal, only_missing, hash_list, report, parent)
        if spider.error is not None:
            raise spider.error
        if watch.interrupted:
            journal.write(journal.take())
            raise Interrupted
        left = ("timeout", "the batch's deadline passed") if watch.over else ("connection_error", "the crawl ended before an answer came")
        spider.settle_the_rest(*left)
        watch.report_progress()
        return journal.finish(inputs, settings.lasting())

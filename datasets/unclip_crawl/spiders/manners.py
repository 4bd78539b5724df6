"""This file is manners: what happens to a request before it may leave, and to an answer before its body is read."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, signals
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import StopDownload
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from unclip_crawl.addresses import host_of, is_address, is_loopback, why_invalid, why_refused
from unclip_crawl.consent import ROBOTS_BYTES, TDM, Reservations, RobotsRules, opt_out_in_headers, read_reservations, read_robots
from unclip_crawl.orders import CrawlSettings
from unclip_crawl.patience import Patience
from unclip_crawl.spiders.failures import Refused, failure_of
from unclip_pairs.takedowns import Takedowns

RULES_LAST_S = 24 * 3600.0
MAX_CRAWL_DELAY_S = 60.0


def header_values(headers: Any, name: str) -> list[str]:
    """All values of a header as text."""
    return [value.decode("latin-1") for value in headers.getlist(name)]


def opt_out_of(headers: Any, orders: CrawlSettings) -> str | None:
    """The opt-out directive in an answer's headers, or None."""
    return opt_out_in_headers(header_values(headers, "X-Robots-Tag"), header_values(headers, TDM), orders.token, orders.marks)


class QuietRedirects(RedirectMiddleware):
    """Scrapy's redirects without a Referer; each hop passes all the other manners again."""

    def handle_referer(self, request: Request, response: Response) -> None:
        """Sends none."""


Rules = tuple[RobotsRules, Reservations]


class Manners:
    """Downloader middleware: valid and allowed addresses only, robots.txt (RFC 9309) and tdmrep.json obeyed, opted-out bodies not read."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler
        self.orders: CrawlSettings = crawler.settings["UNCLIP_ORDERS"]
        self.patience: Patience = crawler.settings["UNCLIP_PATIENCE"]
        self.takedowns: Takedowns = crawler.settings["UNCLIP_TAKEDOWNS"]
        self.rules: dict[str, tuple[float, asyncio.Task[Rules | Refused]]] = {}
        crawler.signals.connect(self.headers_received, signal=signals.headers_received)
        crawler.signals.connect(self.bytes_received, signal=signals.bytes_received)

    @classmethod
    def from_crawler(cls, crawler: Any) -> "Manners":
        """Built by Scrapy."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raises `Refused` when the request may not leave."""
        invalid = why_invalid(request.url)
        if invalid is not None:
            raise Refused("invalid_url", invalid)
        taken = self.takedowns.forbids(request.url)
        if taken is not None:
            raise Refused("taken_down", taken)
        host = host_of(request.url)
        private = why_refused(host, self.orders.allow_loopback) if is_address(host) else None
        if private is not None:
            raise Refused("private_address", private)
        self._pace(request, host)
        if request.meta.get("is_robots"):
            return
        stopped = self.patience.why_stopped(request.meta["download_slot"])
        if stopped is not None:
            raise Refused("host_stopped", stopped)
        await self._obey_rules(request.url)

    def _pace(self, request: Request, host: str) -> None:
        """Every host and port has a pace of its own, also after a redirect; on loopback it is the one the orders name."""
        site = urlsplit(request.url).netloc.lower()
        request.meta["download_slot"] = site
        request.meta["autothrottle_dont_adjust_delay"] = is_loopback(host)
        if is_loopback(host):
            slot = {"concurrency": self.orders.concurrency_per_host, "delay": self.orders.delay_s, "jitter": 0.0}
            self.crawler.engine.downloader.per_slot_settings.setdefault(site, slot)

    async def _obey_rules(self, url: str) -> None:
        found = await self._rules_for(url)
        if isinstance(found, Refused):
            raise Refused(found.status, found.detail)
        robots, reservations = found
        denied = robots.why_denied(url)
        if denied is not None:
            raise Refused("robots_denied", denied)
        reserved = reservations.why_reserved(url)
        if reserved is not None:
            raise Refused("opt_out", reserved)

    async def _rules_for(self, url: str) -> Rules | Refused:
        """The rules of the address's host, fetched once a day; `Refused` when the host could not be asked."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        since, task = self.rules.get(site, (0.0, None))
        if task is None or time.monotonic() - since > RULES_LAST_S:
            task = asyncio.ensure_future(self._fetch_rules(site))
            self.rules[site] = (time.monotonic(), task)
        return await task

    async def _fetch_rules(self, site: str) -> Rules | Refused:
        answer = await self._aside(f"{site}/robots.txt")
        if isinstance(answer, Refused):
            status = "robots_denied" if answer.status == "redirect_error" else answer.status
            return Refused(status, f"robots.txt: {answer.detail}")
        robots = read_robots(answer.status, answer.body, self.orders.token)
        self._slow_down(urlsplit(site).netloc.lower(), robots.delay_s())
        return robots, await self._reservations(site, robots)

    async def _reservations(self, site: str, robots: RobotsRules) -> Reservations:
        """What the host's tdmrep.json reserves; nothing when robots.txt forbids asking, or there is no such file."""
        url = f"{site}/.well-known/tdmrep.json"
        if TDM not in self.orders.marks or robots.why_denied(url) is not None:
            return Reservations()
        answer = await self._aside(url)
        return Reservations() if isinstance(answer, Refused) else read_reservations(answer.status, answer.body)

    async def _aside(self, url: str) -> Response | Refused:
        """A host's file about itself, its first 500 KiB; `Refused` when it could not be had."""
        meta = {"is_robots": True, "download_maxsize": 0, "bytes_left": ROBOTS_BYTES}
        try:
            return await self.crawler.engine.download_async(Request(url, priority=1000, meta=meta, callback=NO_CALLBACK, dont_filter=True))
        except Exception as error:  # whatever a download can end with is named by failure_of; unknown errors are raised there
            return Refused(*failure_of(error, url))

    def _slow_down(self, name: str, delay_s: float) -> None:
        """Takes a Crawl-delay on, when it is slower than our own pace."""
        slot = self.crawler.engine.downloader.slots.get(name)
        if slot is not None and delay_s > slot.delay:
            slot.delay = min(delay_s, MAX_CRAWL_DELAY_S)

    def headers_received(self, headers: Any, body_length: int, request: Request, spider: Any) -> None:
        """Stops reading when the answer opts out, or is no page where a page was asked for."""
        if request.meta.get("is_robots") or request.meta.get("is_map"):
            return
        is_page = request.meta.get("is_page", False)
        kind = b"".join(headers.getlist("Content-Type")[:1]).lower()
        if (not is_page and opt_out_of(headers, self.orders)) or (is_page and kind and b"html" not in kind):
            raise StopDownload(fail=False)

    def bytes_received(self, data: bytes, request: Request, spider: Any) -> None:
        """Stops reading a robots.txt or tdmrep.json at its bound; what came until then counts."""
        if "bytes_left" in request.meta:
            request.meta["bytes_left"] -= len(data)
            if request.meta["bytes_left"] < 0:
                raise StopDownload(fail=False)

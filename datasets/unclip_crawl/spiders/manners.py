"""This file is manners: what happens to a request before it may leave, and to an answer before its body is read."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, signals
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import StopDownload
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from unclip_crawl.addresses import host_of, is_address, is_loopback, why_invalid, why_refused
from unclip_crawl.consent import RobotsRules, opt_out_in_headers, read_robots
from unclip_crawl.orders import CrawlSettings
from unclip_crawl.spiders.failures import Refused, failure_of

ROBOTS_MAXSIZE = 4 * 2**20
MAX_CRAWL_DELAY_S = 60.0


def header_values(headers: Any, name: str) -> list[str]:
    """All values of a header as text."""
    return [value.decode("latin-1") for value in headers.getlist(name)]


def opt_out_of(headers: Any, token: str) -> str | None:
    """The opt-out directive in an answer's headers, or None."""
    return opt_out_in_headers(header_values(headers, "X-Robots-Tag"), header_values(headers, "tdm-reservation"), token)


class QuietRedirects(RedirectMiddleware):
    """Scrapy's redirects without a Referer; each hop passes all the other manners again."""

    def handle_referer(self, request: Request, response: Response) -> None:
        """Sends none."""


class Manners:
    """Downloader middleware: valid and allowed addresses only, robots.txt obeyed (RFC 9309), opted-out bodies not read."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler
        self.orders: CrawlSettings = crawler.settings["UNCLIP_ORDERS"]
        self.robots: dict[str, asyncio.Future[RobotsRules | Refused]] = {}
        crawler.signals.connect(self.headers_received, signal=signals.headers_received)

    @classmethod
    def from_crawler(cls, crawler: Any) -> "Manners":
        """Built by Scrapy."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raises `Refused` when the request may not leave."""
        invalid = why_invalid(request.url)
        if invalid is not None:
            raise Refused("invalid_url", invalid)
        host = host_of(request.url)
        private = why_refused(host, self.orders.allow_loopback) if is_address(host) else None
        if private is not None:
            raise Refused("private_address", private)
        self._pace(request, host)
        if not request.meta.get("is_robots"):
            await self._obey_robots(request.url)

    def _pace(self, request: Request, host: str) -> None:
        """Every host and port has a pace of its own, also after a redirect; on loopback it is the one the orders name."""
        site = urlsplit(request.url).netloc.lower()
        request.meta["download_slot"] = site
        request.meta["autothrottle_dont_adjust_delay"] = is_loopback(host)
        if is_loopback(host):
            slot = {"concurrency": self.orders.concurrency_per_host, "delay": self.orders.delay_s, "jitter": 0.0}
            self.crawler.engine.downloader.per_slot_settings.setdefault(site, slot)

    async def _obey_robots(self, url: str) -> None:
        rules = await self._rules_for(url)
        if isinstance(rules, Refused):
            raise Refused(rules.status, rules.detail)
        denied = rules.why_denied(url)
        if denied is not None:
            raise Refused("robots_denied", denied)

    async def _rules_for(self, url: str) -> RobotsRules | Refused:
        """The rules of the address's host, fetched once; `Refused` when the host could not be asked."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self.robots:
            self.robots[site] = asyncio.get_running_loop().create_future()
            self.robots[site].set_result(await self._fetch_rules(site))
        return await self.robots[site]

    async def _fetch_rules(self, site: str) -> RobotsRules | Refused:
        meta = {"is_robots": True, "download_maxsize": ROBOTS_MAXSIZE}
        request = Request(f"{site}/robots.txt", priority=1000, meta=meta, callback=NO_CALLBACK, dont_filter=True)
        try:
            answer = await self.crawler.engine.download_async(request)
        except Exception as error:  # whatever a download can end with is named by failure_of; unknown errors are raised there
            status, detail = failure_of(error, request.url)
            return Refused(status, f"robots.txt: {detail}")
        rules = read_robots(answer.status, answer.body, self.orders.token)
        self._slow_down(request.meta["download_slot"], rules.delay_s())
        return rules

    def _slow_down(self, name: str, delay_s: float) -> None:
        """Takes a Crawl-delay on, when it is slower than our own pace."""
        slot = self.crawler.engine.downloader.slots.get(name)
        if slot is not None and delay_s > slot.delay:
            slot.delay = min(delay_s, MAX_CRAWL_DELAY_S)

    def headers_received(self, headers: Any, body_length: int, request: Request, spider: Any) -> None:
        """Stops reading when the answer opts out, or is no page where a page was asked for."""
        if request.meta.get("is_robots"):
            return
        is_page = request.meta.get("is_page", False)
        kind = b"".join(headers.getlist("Content-Type")[:1]).lower()
        if (not is_page and opt_out_of(headers, self.orders.token)) or (is_page and kind and b"html" not in kind):
            raise StopDownload(fail=False)

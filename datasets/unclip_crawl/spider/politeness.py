"""Politeness: what is asked before a request may leave, and of a page before its body is read."""

import asyncio
import time
from urllib.parse import urlsplit

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import StopDownload
from scrapy.http import Headers, Response

from unclip_crawl.addresses import address_in, host_of, port_of, why_invalid
from unclip_crawl.consent import ROBOTS_BYTES, TDM, Reservations, RobotsRules, read_reservations, read_robots
from unclip_crawl.retries import MAX_REDIRECTS
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_crawl.spider.client import Answer, Client
from unclip_crawl.spider.errors import Refused, failure_of
from unclip_crawl.spider.throttle import Throttle, site_name
from unclip_pairs.takedowns import Takedowns

RULES_LAST_S = 24 * 3600.0
Rules = tuple[RobotsRules, Reservations]


def header_values(headers: Headers, name: str) -> list[str]:
    """All values of a header as text."""
    return [value.decode("latin-1") for value in headers.getlist(name)]


class Politeness:
    """Valid and allowed addresses only; robots.txt (RFC 9309) and tdmrep.json obeyed; each hop of a redirect checked again."""

    def __init__(self, settings: CrawlSettings, takedowns: Takedowns) -> None:
        self.settings = settings
        self.takedowns = takedowns
        self.breaker = CircuitBreaker(settings)
        self.throttle = Throttle(settings, self.breaker)
        self.client = Client(settings, self.breaker, self.throttle)
        self.rules: dict[str, tuple[float, asyncio.Task[Rules | Refused]]] = {}

    async def fetch(self, url: str) -> Answer:
        """The answer at the end of at most five redirects; `Refused` when one of the hops may not be asked for."""
        return await self._followed(url, is_site_file=False)

    async def _followed(self, url: str, is_site_file: bool) -> Answer:
        """As `fetch`; a host's file about itself is asked for without asking its robots.txt, and only its first 500 KiB are read."""
        for _ in range(MAX_REDIRECTS + 1):
            if is_site_file:
                self._check_address(url)
            else:
                await self.check(url)
            answer = await self.client.ask(url, is_site_file=is_site_file, most=ROBOTS_BYTES + 1 if is_site_file else None)
            leads_to = answer.leads_to
            if leads_to is None:
                return answer
            url = leads_to
        raise Refused("redirect_error", f"more than {MAX_REDIRECTS} redirects")

    async def check(self, url: str) -> None:
        """`Refused` when the address may not be asked for."""
        self._check_address(url)
        stopped = self.breaker.why_stopped(site_name(url))
        if stopped is not None:
            raise Refused("host_stopped", stopped)
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

    def _check_address(self, url: str) -> None:
        invalid = why_invalid(url)
        if invalid is not None:
            raise Refused("invalid_url", invalid)
        taken = self.takedowns.forbids(url)
        if taken is not None:
            raise Refused("taken_down", taken)
        address = address_in(host_of(url))
        private = self.settings.why_refused(address, port_of(url)) if address is not None else None
        if private is not None:
            raise Refused("private_address", private)

    async def _rules_for(self, url: str) -> Rules | Refused:
        """The rules of the address's host, fetched once a day; `Refused` when the host could not be asked."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        since, task = self.rules.get(site, (0.0, None))
        if task is None or time.monotonic() - since > RULES_LAST_S:
            task = asyncio.ensure_future(self._fetch_rules(site))
            self.rules[site] = (time.monotonic(), task)
        return task.result() if task.done() else await task

    async def _fetch_rules(self, site: str) -> Rules | Refused:
        answer = await self._site_file(f"{site}/robots.txt")
        if isinstance(answer, Refused):
            status = "robots_denied" if answer.status == "redirect_error" else answer.status
            return Refused(status, f"robots.txt: {answer.detail}")
        robots = read_robots(answer.status, answer.body, self.settings.token)
        self.throttle.slow_down(urlsplit(site).netloc.lower(), robots.delay_s())
        return robots, await self._reservations(site, robots)

    async def _reservations(self, site: str, robots: RobotsRules) -> Reservations:
        """What the host's tdmrep.json reserves; nothing when robots.txt forbids asking, or there is no such file."""
        url = f"{site}/.well-known/tdmrep.json"
        if TDM not in self.settings.marks or robots.why_denied(url) is not None:
            return Reservations()
        answer = await self._site_file(url)
        return Reservations() if isinstance(answer, Refused) else read_reservations(answer.status, answer.body)

    async def _site_file(self, url: str) -> Answer | Refused:
        """A host's file about itself; `Refused` when it could not be had."""
        try:
            return await self._followed(url, is_site_file=True)
        except Exception as error:  # whatever a request can end with is named by failure_of; unknown errors are raised there
            return Refused(*failure_of(error, url))


def politeness_of(crawler: Crawler) -> Politeness:
    """The politeness that the crawler's spider holds."""
    found: object = getattr(crawler.spider, "politeness", None)
    assert isinstance(found, Politeness)
    return found


class RedirectsWithoutReferer(RedirectMiddleware):
    """Scrapy's redirects without a Referer; each hop is checked again."""

    def handle_referer(self, request: Request, response: Response) -> None:
        """Sends none."""


class PolitenessMiddleware:
    """Scrapy's downloader middleware: a page is asked about like a picture, and the body of what is no page is not read."""

    def __init__(self, crawler: Crawler) -> None:
        self.politeness = politeness_of(crawler)
        crawler.signals.connect(self.headers_received, signal=signals.headers_received)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PolitenessMiddleware":
        """Built by Scrapy."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Raises `Refused` when the request may not leave."""
        await self.politeness.check(request.url)
        request.meta["download_slot"] = site_name(request.url)

    def headers_received(self, headers: Headers, body_length: int, request: Request, spider: Spider) -> None:
        """Stops reading when the answer is no page where a page was asked for."""
        kind = b"".join(headers.getlist("Content-Type")[:1]).lower()
        if request.meta.get("is_page", False) and kind and b"html" not in kind:
            raise StopDownload(fail=False)

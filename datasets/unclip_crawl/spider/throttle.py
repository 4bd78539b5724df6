"""Throttle: how many requests to one host and port may be under way at once, and the time between one and the next."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from unclip_crawl.addresses import host_of, is_loopback
from unclip_crawl.settings import PUBLIC_CONCURRENCY, PUBLIC_DELAY_S, CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_crawl.spider.errors import Refused

MAX_DELAY_S = 60.0


def site_name(url: str) -> str:
    """Host and port as the address writes them: what is throttled on its own."""
    return urlsplit(url).netloc.lower()


class Throttle:
    """Public hosts: at least 0.1 s between two requests, at most 8 at once, and slower hosts more slowly; loopback as the settings say."""

    def __init__(self, settings: CrawlSettings, breaker: CircuitBreaker) -> None:
        self.settings = settings
        self.breaker = breaker
        self.slots: dict[str, asyncio.Semaphore] = {}
        self.next_at: dict[str, float] = {}
        self.least: dict[str, float] = {}
        self.delays: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[str]:
        """The block in which the address's host may be asked once; gives the host's name. `Refused` when it is not asked any more."""
        site = site_name(url)
        if site not in self.slots:
            self._add_host(site, is_loopback(host_of(url)))
        async with self.slots[site]:
            await self._wait(site)
            yield site

    def _add_host(self, site: str, is_loopback_host: bool) -> None:
        most = self.settings.concurrency_per_host
        self.slots[site] = asyncio.Semaphore(most if is_loopback_host else min(most, PUBLIC_CONCURRENCY))
        self.least[site] = self.delays[site] = self.settings.delay_s if is_loopback_host else max(self.settings.delay_s, PUBLIC_DELAY_S)

    async def _wait(self, site: str) -> None:
        at = max(time.monotonic(), self.next_at.get(site, 0.0))
        self.next_at[site] = at + self.delays[site]
        while True:
            stopped = self.breaker.why_stopped(site)
            if stopped is not None:
                raise Refused("host_stopped", stopped)
            wait_s = max(at - time.monotonic(), self.breaker.wait_s(site))
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, 1.0))

    def slow_down(self, site: str, delay_s: float) -> None:
        """Takes a Crawl-delay on, when it is slower than our own delay."""
        if site in self.delays and delay_s > self.least[site]:
            self.least[site] = min(delay_s, MAX_DELAY_S)
            self.delays[site] = max(self.delays[site], self.least[site])

    def note_latency(self, site: str, latency_s: float, status: int) -> None:
        """A public host is asked as slowly as it answers: half of the way to its last latency each time, and never faster for a failure."""
        if is_loopback(site.rpartition(":")[0] or site):
            return
        delay = max(latency_s, (self.delays[site] + latency_s) / 2)
        if status == 200 or delay > self.delays[site]:
            self.delays[site] = min(max(delay, self.least[site]), MAX_DELAY_S)

"""This file is the download handler: Scrapy's own, with a door per host that lets only so many requests in at once, and patience.

Scrapy 2.19 on asyncio starts whole bursts of a slot's queue before it counts them, so its CONCURRENT_REQUESTS_PER_DOMAIN is no bound.
"""

import asyncio
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.http import Response

from unclip_crawl.addresses import host_of, is_loopback
from unclip_crawl.orders import PUBLIC_CONCURRENCY, CrawlSettings
from unclip_crawl.patience import Patience
from unclip_crawl.spiders.failures import SILENT, Refused, failure_of
from unclip_crawl.spiders.manners import header_values, opt_out_of


class PacedHandler(HTTP11DownloadHandler):
    """HTTP and HTTPS, at most `concurrency_per_host` requests at once to one host and port (public hosts: at most 8)."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self.crawler = crawler
        self.orders: CrawlSettings = crawler.settings["UNCLIP_ORDERS"]
        self.patience: Patience = crawler.settings["UNCLIP_PATIENCE"]
        self.doors: dict[str, asyncio.Semaphore] = {}

    async def download_request(self, request: Request) -> Response:
        """The answer; the time limit runs from when the request is let through."""
        site = request.meta["download_slot"]
        if site not in self.doors:
            room = self.orders.concurrency_per_host
            self.doors[site] = asyncio.Semaphore(room if is_loopback(host_of(request.url)) else min(room, PUBLIC_CONCURRENCY))
        async with self.doors[site]:
            await self._wait(site)
            return self._heard(request, site, await self._answer(request, site))

    async def _wait(self, site: str) -> None:
        """Returns when the host may be asked; `Refused` when it is not asked any more, and then its queue empties at once."""
        while True:
            stopped = self.patience.why_stopped(site)
            if stopped is not None:
                self._hurry(site)
                raise Refused("host_stopped", stopped)
            wait_s = self.patience.wait_s(site)
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, 1.0))

    def _hurry(self, site: str) -> None:
        slot = self.crawler.engine.downloader.slots.get(site)
        if slot is not None:
            slot.delay = 0.0

    async def _answer(self, request: Request, site: str) -> Response:
        try:
            return await super().download_request(request)
        except Exception as error:
            if failure_of(error, request.url)[0] in SILENT:
                self.patience.note_silence(site)
            raise

    def _heard(self, request: Request, site: str, response: Response) -> Response:
        """The answer, counted. A hop that opts out ends the way to a picture, and is remembered on the way to a page."""
        # a sitemap is often kept out of search results, which says nothing of the pictures it names
        is_aside = bool(request.meta.get("is_robots") or request.meta.get("is_map"))
        opt_out = None if is_aside else opt_out_of(response.headers, self.orders)
        asked = (header_values(response.headers, "Retry-After") or [None])[0]
        self.patience.note_answer(site, response.status, opt_out, asked)
        if opt_out is not None and not request.meta.get("is_page"):
            raise Refused("opt_out", opt_out)
        request.meta["opt_out"] = request.meta.get("opt_out") or opt_out
        return response

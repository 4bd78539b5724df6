"""This file is the download handler: Scrapy's own, with a door that lets only so many requests at once to one host.

Scrapy 2.19 on asyncio starts whole bursts of a slot's queue before it counts them, so its CONCURRENT_REQUESTS_PER_DOMAIN is no bound.
"""

import asyncio
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.http import Response

from unclip_crawl.addresses import host_of, is_loopback
from unclip_crawl.orders import PUBLIC_CONCURRENCY, CrawlSettings


class PacedHandler(HTTP11DownloadHandler):
    """HTTP and HTTPS, at most `concurrency_per_host` requests at once to one host and port (public hosts: at most 8)."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self.orders: CrawlSettings = crawler.settings["UNCLIP_ORDERS"]
        self.doors: dict[str, asyncio.Semaphore] = {}

    async def download_request(self, request: Request) -> Response:
        """The answer; the time limit runs from when the request is let through."""
        name = request.meta["download_slot"]
        if name not in self.doors:
            room = self.orders.concurrency_per_host
            self.doors[name] = asyncio.Semaphore(room if is_loopback(host_of(request.url)) else min(room, PUBLIC_CONCURRENCY))
        async with self.doors[name]:
            return await super().download_request(request)

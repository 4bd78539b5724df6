"""Download handler for pages: Scrapy's own, at the host's pace and with patience.

Scrapy 2.19 on asyncio starts whole bursts of a slot's queue before it counts them, so its own settings are no bound.
"""

import time
from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.http import Response

from unclip_crawl.spider.errors import SILENT, failure_of
from unclip_crawl.spider.politeness import Manners, header_values, opt_out_of


class PacedHandler(HTTP11DownloadHandler):
    """HTTP and HTTPS, through the same door as the pictures of the host."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self.manners: Manners = crawler.spider.manners

    async def download_request(self, request: Request) -> Response:
        """The answer; the time limit runs from when the request is let through."""
        async with self.manners.pace.turn(request.url) as site:
            begun = time.monotonic()
            response = await self._answer(request, site)
            self.manners.pace.note_latency(site, time.monotonic() - begun, response.status)
            return self._heard(request, site, response)

    async def _answer(self, request: Request, site: str) -> Response:
        try:
            return await super().download_request(request)
        except Exception as error:
            if failure_of(error, request.url)[0] in SILENT:
                self.manners.patience.note_silence(site)
            raise

    def _heard(self, request: Request, site: str, response: Response) -> Response:
        """The answer, counted; a hop that opts out is remembered on the way to a page."""
        # a sitemap is often kept out of search results, which says nothing of the pictures it names
        opt_out = None if request.meta.get("is_map") else opt_out_of(response.headers, self.manners.orders)
        asked = (header_values(response.headers, "Retry-After") or [None])[0]
        self.manners.patience.note_answer(site, response.status, opt_out, asked)
        request.meta["opt_out"] = request.meta.get("opt_out") or opt_out
        return response

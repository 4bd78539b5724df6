"""Download handler for pages: Scrapy's own, behind the throttle and the circuit breaker that pictures use too.

Scrapy 2.19 on asyncio starts whole bursts of a slot's queue before it counts them, so its own settings are no bound.
"""

import time
from functools import partial

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler
from scrapy.crawler import Crawler
from scrapy.http import Response

from unclip_crawl.spider.errors import SILENT, failure_of
from unclip_crawl.spider.politeness import header_values, politeness_of


class ThrottledHandler(HTTP11DownloadHandler):
    """HTTP and HTTPS; the pages of a host share its throttle with its pictures."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.politeness = politeness_of(crawler)

    async def download_request(self, request: Request) -> Response:
        """The answer, counted; the time limit runs from when the request may leave. An opt-out is remembered in `request.meta`."""
        async with self.politeness.throttle.turn(request.url) as site:
            begun = time.monotonic()
            response = await self._answer(request, site)
            self.politeness.throttle.note_latency(site, time.monotonic() - begun, response.status)
            # a sitemap is often kept out of search results, which says nothing of the pictures it names
            may_opt_out, header = not request.meta.get("is_map"), partial(header_values, response.headers)
            opt_out = self.politeness.breaker.count_answer(site, response.status, header, may_opt_out)
            request.meta["opt_out"] = request.meta.get("opt_out") or opt_out  # of any hop on the way to the page
            return response

    async def _answer(self, request: Request, site: str) -> Response:
        try:
            return await super().download_request(request)
        except Exception as error:
            if failure_of(error, request.url)[0] in SILENT:
                self.politeness.breaker.note_silence(site)
            raise

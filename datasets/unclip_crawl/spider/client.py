"""Client: one request for a picture or for a host's file about itself, its answer read within bounds.

Pages go through Scrapy's downloader. Pictures do not, because its machinery costs more time for each than fetching and decoding one.
"""

import asyncio
import socket
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

import aiohttp
from w3lib.url import safe_url_string
from yarl import URL

from unclip_crawl.retries import REDIRECT_STATUSES, RETRIED_STATUSES
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_crawl.spider.errors import SILENT, Refused, failure_of, is_retried
from unclip_crawl.spider.resolver import PublicNames
from unclip_crawl.spider.throttle import Throttle

AT_ONCE = 64
# a body that grows over 2 MB waits for one of eight places; no request leaves while 64 MB wait to be decoded
LARGE_BYTES = 2 * 2**20
LARGE_AT_ONCE = 8
UNDECODED_BYTES = 64 * 2**20
SMALL_ANSWER = 65_536


@dataclass(frozen=True)
class Answer:
    """What came back from the address, headers by name in any case; a body that nobody wants is empty."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def leads_to(self) -> str | None:
        """Where a redirect leads, None when it is none or leads nowhere."""
        location = self.headers.get("Location") if self.status in REDIRECT_STATUSES else None
        return plain(location, self.url) if location else None


def plain(url: str, base: str = "") -> str:
    """The address as it is sent: escaped, without fragment, whole; `Refused` when it is none."""
    try:
        return urldefrag(urljoin(base, safe_url_string(url))).url
    except ValueError as error:
        raise Refused("invalid_url", str(error)) from error


class Client:
    """Asks one address at a time of each host, as its throttle lets it; counts answers and silence; reads no more than it must."""

    def __init__(self, settings: CrawlSettings, breaker: CircuitBreaker, throttle: Throttle) -> None:
        self.settings = settings
        self.breaker = breaker
        self.throttle = throttle
        self.undecoded = 0
        self.room = asyncio.Semaphore(AT_ONCE)
        self.large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, url: str, *, is_site_file: bool = False, most: int | None = None) -> Answer:
        """The answer to one GET, no redirect followed; what failed for a reason that may pass is asked again `retries` times.

        Of a body longer than `most` the beginning is given; without it, more than the settings' `max_bytes` is `Refused` as too_large.
        """
        for attempt in range(self.settings.retries + 1):
            try:
                answer = await self._ask_once(url, is_site_file, most)
                if answer.status not in RETRIED_STATUSES or attempt == self.settings.retries:
                    return answer
            except Exception as error:
                if not is_retried(error) or attempt == self.settings.retries:
                    raise
        raise AssertionError("unreachable")

    async def _ask_once(self, url: str, is_site_file: bool, most: int | None) -> Answer:
        async with self.throttle.turn(url) as site, self.room:
            while self.undecoded > UNDECODED_BYTES:
                await asyncio.sleep(0.01)
            begun = time.monotonic()
            try:
                async with self._opened().get(_target(url), allow_redirects=False) as response:
                    self.throttle.note_latency(site, time.monotonic() - begun, response.status)
                    self._count(site, response, is_site_file)
                    return Answer(url, response.status, response.headers, await self._body(response, most))
            except Refused:
                raise
            except Exception as error:
                if failure_of(error, url)[0] in SILENT:
                    self.breaker.note_silence(site)
                raise

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, resolver=PublicNames(self.settings), use_dns_cache=False, socket_factory=self._socket)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": self.settings.header, "Accept": "*/*", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=self.settings.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _socket(self, place: aiohttp.AddrInfoType) -> socket.socket:
        """The last look at an address before it is connected to, however it was found."""
        address, port = str(place[4][0]), int(place[4][1])
        reason = self.settings.why_refused(address, port)
        if reason is not None:
            raise Refused("private_address", reason)
        return socket.socket(family=place[0], type=place[1], proto=place[2])

    def _count(self, site: str, response: aiohttp.ClientResponse, is_site_file: bool) -> None:
        """Counts the answer; `Refused` when it opts out, its body unread."""

        def header(name: str) -> list[str]:
            return response.headers.getall(name, [])

        opt_out = self.breaker.count_answer(site, response.status, header, may_opt_out=not is_site_file)
        if opt_out is not None:
            response.close()
            raise Refused("opt_out", opt_out)

    async def _body(self, response: aiohttp.ClientResponse, most: int | None) -> bytes:
        """The body of a 200, unpacked within the bound; that of another answer is read away when it is small and dropped when not."""
        promised, bound = response.content_length, self.settings.max_bytes if most is None else most
        if response.status != 200:
            if promised is None or promised > SMALL_ANSWER:
                response.close()
            else:
                await response.read()
            return b""
        if most is None and promised is not None and promised > bound:
            response.close()
            raise Refused("too_large", f"{promised} bytes are promised, more than {bound}")
        body = await self._read(response, bound)
        if len(body) > bound:
            response.close()
        packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")
        data = _unpacked(body, bound) if packed else body
        if most is None and len(data) > bound:
            raise Refused("too_large", f"more than {bound} bytes{' when unpacked' if packed else ''}")
        return data[:bound]

    async def _read(self, response: aiohttp.ClientResponse, bound: int) -> bytes:
        """What comes, until it is one piece more than the bound."""
        pieces, size = list[bytes](), 0
        content = response.content
        while size <= min(bound, LARGE_BYTES) and (piece := await content.readany()):
            pieces.append(piece)
            size += len(piece)
        if LARGE_BYTES < size <= bound:
            async with self.large:
                while size <= bound and (piece := await content.readany()):
                    pieces.append(piece)
                    size += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """Closes what is open."""
        if self._session is not None:
            await self._session.close()


def _target(url: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError as error:
        raise Refused("invalid_url", str(error)) from error


def _unpacked(body: bytes, bound: int) -> bytes:
    """At most one byte more than the bound, however much is packed into the body; `Refused` when it is not what it says."""
    try:
        return zlib.decompressobj(wbits=47).decompress(body, bound + 1)
    except zlib.error as error:
        raise Refused("connection_error", f"the content encoding is broken ({error})") from error

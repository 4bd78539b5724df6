"""Client: one request for a picture or for a host's file about itself, heard out within bounds.

Pages go through Scrapy's downloader. Pictures do not, because its machinery costs more time for each than fetching and decoding one.
"""

import asyncio
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from w3lib.url import safe_url_string
from yarl import URL

from unclip_crawl.addresses import why_refused
from unclip_crawl.consent import TDM, opt_out_in_headers
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import Patience
from unclip_crawl.spider.errors import SILENT, Refused, failure_of
from unclip_crawl.spider.throttle import Pace

AT_ONCE = 64
REDIRECTS = 5
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
BUSY_STATUSES = (500, 502, 503, 504, 522, 524, 408, 429)
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


class GuardedNames(AbstractResolver):
    """The system's resolver; a name that leads to an address that may not be connected to has none."""

    def __init__(self, orders: CrawlSettings) -> None:
        self.orders = orders

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The public addresses of a name; `Refused` when it has others only."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except UnicodeError as error:
            raise OSError(f"{host[:100]!r} is no name ({error})") from error
        addresses = {str(place[4][0]) for place in found}
        reasons = {address: why_refused(address, self.orders.allows_loopback(address, port)) for address in addresses}
        public = [place for place in found if reasons[str(place[4][0])] is None]
        if found and not public:
            raise Refused("private_address", f"{host}: {next(iter(reasons.values()))}")
        numeric = int(socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
        known = {"hostname": host, "port": port, "flags": numeric}
        return [ResolveResult(**known, host=str(place[4][0]), family=place[0], proto=place[2]) for place in public]  # type: ignore[typeddict-item]

    async def close(self) -> None:
        """Nothing is open."""


class Client:
    """Asks one address at a time of each host, at its pace; counts answers and silence; reads no more than it must."""

    def __init__(self, orders: CrawlSettings, patience: Patience, pace: Pace) -> None:
        self.orders = orders
        self.patience = patience
        self.pace = pace
        self.undecoded = 0
        self.room = asyncio.Semaphore(AT_ONCE)
        self.large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, url: str, *, is_aside: bool = False, most: int | None = None) -> Answer:
        """The answer to one GET, no redirect followed; what failed for a reason that may pass is asked again `retries` times.

        Of a body longer than `most` the beginning is given; without it, more than the orders' `max_bytes` is `Refused` as too_large.
        """
        for attempt in range(self.orders.retries + 1):
            try:
                answer = await self._ask_once(url, is_aside, most)
                if answer.status not in BUSY_STATUSES or attempt == self.orders.retries:
                    return answer
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                passing = not isinstance(error, (asyncio.TimeoutError, aiohttp.ClientConnectorDNSError, ssl.SSLError, ssl.CertificateError))
                if not passing or isinstance(error, aiohttp.ClientSSLError) or attempt == self.orders.retries:
                    raise
        raise AssertionError("unreachable")

    async def _ask_once(self, url: str, is_aside: bool, most: int | None) -> Answer:
        async with self.pace.turn(url) as site, self.room:
            while self.undecoded > UNDECODED_BYTES:
                await asyncio.sleep(0.01)
            begun = time.monotonic()
            try:
                async with self._opened().get(_target(url), allow_redirects=False) as response:
                    self.pace.note_latency(site, time.monotonic() - begun, response.status)
                    self._hear(site, response, is_aside)
                    return Answer(url, response.status, response.headers, await self._body(response, most))
            except Refused:
                raise
            except Exception as error:
                if failure_of(error, url)[0] in SILENT:
                    self.patience.note_silence(site)
                raise

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, resolver=GuardedNames(self.orders), use_dns_cache=False, socket_factory=self._socket)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": self.orders.header, "Accept": "*/*", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=self.orders.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _socket(self, place: Any) -> socket.socket:
        """The last look at an address before it is connected to, however it was found."""
        address, port = str(place[4][0]), int(place[4][1])
        reason = why_refused(address, self.orders.allows_loopback(address, port))
        if reason is not None:
            raise Refused("private_address", reason)
        return socket.socket(family=place[0], type=place[1], proto=place[2])

    def _hear(self, site: str, response: aiohttp.ClientResponse, is_aside: bool) -> None:
        """Counts the answer; `Refused` when it opts out, its body unread."""
        headers, orders = response.headers, self.orders
        tags, reserved = headers.getall("X-Robots-Tag", []), headers.getall(TDM, [])
        opt_out = None if is_aside or not (tags or reserved) else opt_out_in_headers(tags, reserved, orders.token, orders.marks)
        self.patience.note_answer(site, response.status, opt_out, headers.get("Retry-After"))
        if opt_out is not None:
            response.close()
            raise Refused("opt_out", opt_out)

    async def _body(self, response: aiohttp.ClientResponse, most: int | None) -> bytes:
        """The body of a 200, unpacked within the bound; that of another answer is read away when it is small and dropped when not."""
        promised, bound = response.content_length, self.orders.max_bytes if most is None else most
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

"""Streams: a file on this machine, on the web or in S3, read once from front to back without being held.

Common Crawl answers 503 or 403 when it is asked too fast: such an answer is waited out (Retry-After, else twice as long each time), and a
connection that breaks is taken up again where it broke. Attempts and waits are bounded.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

from unclip_crawl.addresses import is_address, is_loopback, is_remote, why_refused
from unclip_crawl.consent import USER_AGENT
from unclip_crawl.retries import LONGEST_WAIT_S, MAX_REDIRECTS, REDIRECT_STATUSES, RETRIED_BY_ARCHIVES, retry_after_s
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.errors import UserError
from unclip_pairs.s3_client import S3Client, S3Options, s3_client

if TYPE_CHECKING:
    import urllib3

PIECE = 256 * 1024


class Unreadable(Exception):
    """A source that cannot be read on; `reason` is a word to count by, `detail` a few words to read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Access:
    """How remote sources are asked: who asks, time limit and attempts, and where S3 is (empty: Amazon's)."""

    user_agent: str = USER_AGENT
    timeout_s: float = 30.0
    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = LONGEST_WAIT_S
    s3_endpoint: str = ""
    sleep: Callable[[float], None] = time.sleep


def access_of(settings: CrawlSettings) -> Access:
    """How a crawl asks for archives and shards that lie elsewhere."""
    return Access(user_agent=settings.header, timeout_s=settings.timeout_s, s3_endpoint=settings.s3_endpoint)


class Readable(Protocol):
    """What can be read from front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; b"" at the end."""
        ...


@dataclass
class Source:
    """An open source: `read` gives its bytes in order, `at` says how many have been given, `size` how many there are if that is known."""

    address: str
    raw: Readable
    size: int | None = None
    at: int = 0

    def read(self, size: int = PIECE) -> bytes:
        """At most `size` bytes, b"" at the end; `Unreadable` when the source breaks off for good."""
        try:
            data = self.raw.read(PIECE if size < 0 else size)
        except OSError as error:
            raise Unreadable("disk_error", f"{type(error).__name__}: {error}") from error
        self.at += len(data)
        return data


Opened = tuple[Readable, int | None, str]
Open = Callable[[int], Opened]


@dataclass
class Resumed:
    """A remote file: `open(offset)` opens it from there; a connection that breaks is opened again where it broke."""

    open: Open
    access: Access
    body: Readable | None = None
    at: int = 0
    size: int | None = None
    version: str = ""
    failures: int = field(default=0)

    def read(self, size: int = PIECE, /) -> bytes:
        """The next bytes; `Unreadable` when they cannot be had in the attempts allowed."""
        while self.size is None or self.at < self.size or self.body is None:
            try:
                data = self.opened().read(size)
            except _transport_errors() as error:
                self._note("connection_error", f"{type(error).__name__}: {error}")
                continue
            if data:
                self.at += len(data)
                self.failures = 0
                return data
            if self.size is None or self.at >= self.size:
                return b""
            self._note("connection_error", f"the connection closed after {self.at} of {self.size} bytes")
        return b""

    def opened(self) -> Readable:
        """The body, from where reading goes on."""
        if self.body is None:
            body, size, version = self.open(self.at)
            if self.version and version and version != self.version:
                raise Unreadable("changed", "the file changed while it was being read")
            self.body, self.size, self.version = body, size, version
        return self.body

    def _note(self, reason: str, detail: str) -> None:
        self.body = None
        self.failures += 1
        if self.failures >= (self.access.attempts if self.at else min(3, self.access.attempts)):
            raise Unreadable(reason, f"{detail} ({self.failures} attempts)")
        self.access.sleep(min(self.access.longest_wait_s, self.access.first_wait_s * 2 ** (self.failures - 1)))


def _transport_errors() -> tuple[type[Exception], ...]:
    import botocore.exceptions
    import urllib3.exceptions

    broken = (botocore.exceptions.HTTPClientError, botocore.exceptions.IncompleteReadError)
    return (OSError, urllib3.exceptions.HTTPError, *broken)


def _hop(url: str, location: str) -> str:
    """Where a redirect leads; `Unreadable` when to another scheme's file or to a private address that was not named."""
    target = urljoin(url, location)
    host = urlsplit(target).hostname or ""
    if urlsplit(target).scheme not in ("http", "https") or not host:
        raise Unreadable("redirect_error", f"leads to {target}")
    is_private = is_loopback(host) or (is_address(host) and why_refused(host, allow_loopback=False) is not None)
    if is_private and host != urlsplit(url).hostname:
        raise Unreadable("private_address", f"leads to {target}")
    return target


@dataclass
class WebFile:
    """A file on the web, asked for by ranges; busy answers are waited out."""

    url: str
    access: Access
    pool: "urllib3.PoolManager"

    def __call__(self, offset: int) -> Opened:
        """The body from `offset` on, the file's whole size, and its version (ETag)."""
        answer = self._retried(offset)
        total = _whole_size(answer.headers, answer.status, offset)
        if answer.status == 200:
            _skip(answer, offset)  # the server knows no ranges
        return answer, total, answer.headers.get("ETag", "")

    def _retried(self, offset: int) -> "urllib3.BaseHTTPResponse":
        for attempt in range(self.access.attempts):
            answer = self._followed(offset)
            if answer.status in (200, 206) or (answer.status == 416 and offset):
                return answer
            answer.release_conn()
            if answer.status not in RETRIED_BY_ARCHIVES or attempt == self.access.attempts - 1:
                raise Unreadable("http_error", f"HTTP {answer.status} from {self.url} ({attempt + 1} attempts)")
            self.access.sleep(self._wait_s(answer, attempt))
        raise AssertionError("the last attempt ends the loop")

    def _wait_s(self, answer: "urllib3.BaseHTTPResponse", attempt: int) -> float:
        asked = retry_after_s(answer.headers.get("Retry-After", ""))
        if asked is not None and asked > self.access.longest_wait_s:
            raise Unreadable("http_error", f"HTTP {answer.status}, and to come back after {asked:.0f} seconds")
        return asked if asked is not None else min(self.access.longest_wait_s, self.access.first_wait_s * 2**attempt)

    def _followed(self, offset: int) -> "urllib3.BaseHTTPResponse":
        url = self.url
        for _ in range(MAX_REDIRECTS + 1):
            headers = {"User-Agent": self.access.user_agent, "Accept-Encoding": "identity"}
            if offset:
                headers["Range"] = f"bytes={offset}-"
            answer = self.pool.request("GET", url, headers=headers, preload_content=False, redirect=False, decode_content=False)
            if answer.status not in REDIRECT_STATUSES:
                return answer
            answer.release_conn()
            url = _hop(url, answer.headers.get("Location", ""))
        raise Unreadable("redirect_error", f"more than {MAX_REDIRECTS} redirects")


def _whole_size(headers: Mapping[str, str], status: int, offset: int) -> int | None:
    """The file's size by Content-Range, else by Content-Length; None when neither is there."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    if status in (206, 416) and total.isdecimal():
        return int(total)
    length = headers.get("Content-Length", "")
    return int(length) + (offset if status == 206 else 0) if length.isdecimal() else None


def _skip(answer: Readable, count: int) -> None:
    while count > 0:
        data = answer.read(min(count, PIECE))
        if not data:
            raise ConnectionError("the file ended before the place where reading stopped")
        count -= len(data)


@dataclass
class S3Object:
    """An object in S3, asked for by ranges; boto3 waits out "slow down" itself."""

    bucket: str
    key: str
    client: S3Client

    def __call__(self, offset: int) -> Opened:
        """As `WebFile`."""
        from botocore.exceptions import ClientError, NoCredentialsError

        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key, **ranged)
        except ClientError as error:
            reply = error.response.get("Error", {})
            raise Unreadable("http_error", f"{reply.get('Code')}: {reply.get('Message')} (s3://{self.bucket}/{self.key})") from error
        except NoCredentialsError as error:
            raise Unreadable("http_error", str(error)) from error
        return (
            answer["Body"],
            _whole_size({"Content-Range": answer.get("ContentRange", "")}, 206, 0) or answer["ContentLength"],
            answer.get("ETag", ""),
        )


def _s3_options(access: Access) -> S3Options:
    """A public data set's bucket, read without credentials where there are none."""
    asked = {"connect_s": access.timeout_s, "read_s": access.timeout_s, "attempts": access.attempts}
    return S3Options(endpoint=access.s3_endpoint or None, user_agent=access.user_agent, is_public=True, **asked)


def _remote(address: str, access: Access) -> Resumed:
    if address.startswith("s3://"):
        parts = urlsplit(address)
        if not parts.netloc or not parts.path.strip("/"):
            raise UserError(f"{address!r} names no object; write it as s3://bucket/key")
        return Resumed(S3Object(parts.netloc, parts.path.lstrip("/"), s3_client(_s3_options(access), os.getpid())), access)
    import urllib3

    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=access.timeout_s, read=access.timeout_s))
    return Resumed(WebFile(address, access, pool), access)


@contextmanager
def opened(address: str, access: Access | None = None) -> Iterator[Source]:
    """The source at a path, an http(s) or an s3 address. `UserError` when there is no such file, `Unreadable` when it cannot be had."""
    access = access or Access()
    if not is_remote(address):
        path = Path(address)
        if not path.is_file():
            raise UserError(f"{address} is not a file; check the path")
        try:
            file = path.open("rb")
        except PermissionError as error:
            raise UserError(f"{address} may not be read; give read permission") from error
        with file:
            yield Source(address, file, path.stat().st_size)
        return
    remote = _remote(address, access)
    first = remote.read(PIECE)  # so that the size is known, and a source that is not there is reported before reading begins
    yield Source(address, _After(first, remote), remote.size)


@dataclass
class _After:
    """Bytes that were read ahead, then the rest."""

    head: bytes
    rest: Readable

    def read(self, size: int = PIECE, /) -> bytes:
        data, self.head = self.head[:size], self.head[size:]
        return data or self.rest.read(size)

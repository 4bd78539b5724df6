"""Errors: what a download can end with, the status it gets, and whether it is tried again at once."""

import asyncio
import ssl

import aiohttp
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.python.failure import Failure

from unclip_crawl.addresses import host_of

SILENT = ("timeout", "connection_error")
# why the last look-up of a name was refused, by name; bounded, for it only explains a failure that has just happened
refusals: dict[str, str] = {}
REFUSALS_KEPT = 10_000
# a host that let one request wait until the time limit is not asked again in the same run, or a few dead ones hold up the end of a batch
RETRIED: tuple[type[Exception], ...] = (
    *(DownloadConnectionRefusedError, DownloadFailedError, ResponseDataLossError, ConnectError, ConnectionClosed),
    *(aiohttp.ClientConnectionError, aiohttp.ClientPayloadError),
)
_NOT_RETRIED = (TimeoutError, aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)


class Refused(IgnoreRequest):
    """A request that we do not send; `status` is one of `unclip_pairs.schema.STATUSES`."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


_STATUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((CannotResolveHostError, aiohttp.ClientConnectorDNSError), "dns_error"),
    ((DownloadTimeoutError, asyncio.TimeoutError, TimeoutError), "timeout"),
    ((DownloadCancelledError,), "too_large"),
    ((UnsupportedURLSchemeError, aiohttp.InvalidURL), "invalid_url"),
    ((aiohttp.ClientError,), "connection_error"),
    ((DownloadConnectionRefusedError, DownloadFailedError, ResponseDataLossError, ConnectError, ConnectionClosed), "connection_error"),
    ((OSError,), "connection_error"),
)


def is_retried(error: BaseException) -> bool:
    """Whether a request that ended so is sent again at once: broken connections are, but no time limit, name or certificate."""
    return isinstance(error, RETRIED) and not isinstance(error, _NOT_RETRIED)


def note_refusal(host: str, reason: str) -> None:
    """Remembers why a name was refused, for `failure_of`; the oldest are forgotten."""
    if len(refusals) >= REFUSALS_KEPT:
        refusals.clear()
    refusals[host] = f"{host}: {reason}" if host not in reason else reason


def _detail(error: BaseException) -> str:
    cause = error.__cause__
    reasons = getattr(cause, "reasons", None)
    inner = reasons[0].value if reasons else cause
    texts = [f"{type(part).__name__}: {part}".rstrip(": ") for part in (error, inner) if part is not None]
    return "; ".join(" ".join(text.split()) for text in texts)


def failure_of(error: BaseException, url: str) -> tuple[str, str]:
    """Status and detail of a download that ended with an exception; one that is none of the network's is raised again."""
    if isinstance(error, Refused):
        return error.status, error.detail
    if isinstance(error.__cause__, Refused):
        return error.__cause__.status, error.__cause__.detail
    if isinstance(error, IgnoreRequest):
        return "redirect_error", str(error)
    host = host_of(url)
    if isinstance(error, CannotResolveHostError) and host in refusals:
        return "private_address", refusals[host]
    for kinds, status in _STATUSES:
        if isinstance(error, kinds):
            return status, _detail(error)
    if type(error).__module__.startswith(("OpenSSL", "twisted", "service_identity", "h2")):
        return "connection_error", _detail(error)
    raise error


def failure_reason(failure: Failure) -> tuple[str, str]:
    """Status and detail of a download that failed."""
    assert failure.value is not None
    return failure_of(failure.value, failure.request.url)  # type: ignore[attr-defined]


def http_status(code: int) -> str:
    """The status of an answer that is not 200."""
    return "redirect_error" if 300 <= code < 400 else "http_error"

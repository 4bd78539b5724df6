"""Tests of the one table of answers and failures: what is asked again, now or another day, for pages and pictures alike."""

import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
from scrapy.exceptions import DownloadConnectionRefusedError, DownloadTimeoutError
from twisted.internet.error import ConnectionDone, ConnectionLost

from unclip_crawl.journal.rows import failed_row, is_transient
from unclip_crawl.retries import RETRIED_STATUSES, may_pass, retry_after_s
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_crawl.spider.errors import is_retried
from unclip_pairs.schema import make_pair


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after_s(" 17 ") == 17
    assert retry_after_s("Mon, 23 Nov 2026 09:00:30 GMT", datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)) == 30
    assert retry_after_s("Mon, 23 Nov 2026 08:00:00 GMT", datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)) == 0
    assert retry_after_s("soon") is None


@pytest.mark.parametrize(
    ("status", "passes"), [(408, True), (425, True), (429, True), (500, True), (511, True), (301, False), (403, False), (404, False)]
)
def test_a_row_is_tried_another_day_exactly_when_its_answer_may_pass(status: int, passes: bool) -> None:
    pair = make_pair("http://h/a.png", "a")
    assert may_pass(status) is passes and (status not in RETRIED_STATUSES or passes)
    assert is_transient(failed_row(pair, "http_error", f"HTTP {status}")) is passes
    assert is_transient(failed_row(pair, "robots_denied", f"robots.txt answered {status}")) is passes
    assert not is_transient(failed_row(pair, "opt_out", f"HTTP {status}")), "what opted out is not asked again"


def test_broken_connections_are_tried_at_once_and_time_limits_and_certificates_are_not() -> None:
    broken = (aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError(), DownloadConnectionRefusedError(), ConnectionLost())
    assert [error for error in (*broken, ConnectionDone()) if not is_retried(error)] == []
    final = (aiohttp.ServerTimeoutError(), DownloadTimeoutError(), ssl.SSLError(), TimeoutError(), ValueError())
    assert [error for error in final if is_retried(error)] == []


def test_an_answer_is_counted_with_its_headers_and_a_hosts_own_file_cannot_opt_out() -> None:
    headers = {"X-Robots-Tag": ["noai"], "Retry-After": ["9"]}
    breaker = CircuitBreaker(CrawlSettings(batch="a", contact="a@example.org", folders=("f",), stop_after_opt_outs=1), clock=lambda: 0.0)

    def header(name: str) -> list[str]:
        return headers.get(name, [])

    assert breaker.count_answer("h", 503, header, may_opt_out=False) is None
    assert breaker.wait_s("h") == 9 and breaker.why_stopped("h") is None
    assert breaker.count_answer("h", 200, header) == "X-Robots-Tag: noai"
    assert "opted out" in (breaker.why_stopped("h") or "")

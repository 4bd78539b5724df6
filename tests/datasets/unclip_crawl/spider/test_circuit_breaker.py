"""Tests of the circuit breaker: how long a host is waited for, and when it is left alone."""

from typing import Any

from unclip_crawl.journal.rows import failed_row, is_transient
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_pairs.schema import make_pair


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(**changes: Any) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    return CircuitBreaker(CrawlSettings(batch="a", contact="a@example.org", folders=("f",), **changes), clock), clock


def test_a_host_is_left_alone_for_as_long_as_it_asks() -> None:
    hosts, clock = breaker()
    hosts.note_answer("h", 503, None, "7")
    assert hosts.wait_s("h") == 7 and hosts.wait_s("other") == 0
    clock.now = 7
    assert hosts.wait_s("h") == 0 and hosts.why_stopped("h") is None


def test_without_a_word_the_wait_doubles_each_time() -> None:
    hosts, clock = breaker(delay_s=1.0)
    waits = []
    for _ in range(3):
        hosts.note_answer("h", 429, None, None)
        waits.append(hosts.wait_s("h"))
        clock.now += waits[-1]
    assert waits == [2, 4, 8]


def test_too_many_busy_answers_in_a_row_stop_the_host_for_now() -> None:
    hosts, _ = breaker(stop_after_busy=3)
    for status in (503, 429, 200, 503, 429):
        hosts.note_answer("h", status, None, "0")
    assert hosts.why_stopped("h") is None, "an answer in between counts from the beginning"
    hosts.note_answer("h", 429, None, "0")
    assert hosts.why_stopped("h") == "for now: HTTP 429 3 times in a row"


def test_a_host_that_asks_for_an_hour_is_left_for_another_run() -> None:
    hosts, _ = breaker()
    hosts.note_answer("h", 503, None, "3600")
    assert hosts.why_stopped("h") == "for now: HTTP 503, and to come back after 3600 seconds"


def test_too_many_opt_outs_in_a_row_stop_the_host_for_good() -> None:
    hosts, _ = breaker(stop_after_opt_outs=2)
    for opt_out in ("noai", None, "noai", "noai"):
        hosts.note_answer("h", 200, opt_out, None)
    reason = hosts.why_stopped("h")
    assert reason == "2 answers in a row opted out, the last by noai"
    pair = make_pair("http://h/a.png", "a")
    assert not is_transient(failed_row(pair, "host_stopped", reason))
    assert is_transient(failed_row(pair, "host_stopped", "for now: HTTP 503 5 times in a row"))


def test_silence_and_time_stop_a_host() -> None:
    hosts, clock = breaker(stop_after_silence=2, host_deadline_s=100)
    hosts.note_silence("h")
    hosts.note_silence("h")
    assert hosts.why_stopped("h") == "for now: no answer 2 times in a row"
    assert hosts.why_stopped("slow") is None
    clock.now = 101
    assert hosts.why_stopped("slow") == "for now: the host's 100 seconds are over"

"""Tests of the throttle over real connections: pages, pictures and a host's own files share it, and a host's wishes are obeyed."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.circuit_breaker import CircuitBreaker
from unclip_pairs.home import open_store

Answer = tuple[int, dict[str, str], bytes]


def timed(log: list[float], *answers: Answer) -> Callable[[], Answer]:
    """Gives the answers in turn, the last one again and again, and notes when."""
    left = list(answers)

    def answer() -> Answer:
        log.append(time.monotonic())
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def statuses(store: Any) -> dict[str, str]:
    rows = read_table(store.path("crawl/a/rows.parquet")).to_pylist()
    return {row["url"].rpartition("/")[2]: row["status"] for row in rows}


def settings_of(site: Any, **changes: Any) -> CrawlSettings:
    where: dict[str, Any] = {"batch": "a", "contact": "tests@example.org", "seeds": (f"{site.url}/",), "allow_loopback": True}
    return CrawlSettings(**where | {"delay_s": 0.0, "min_side": 1} | changes)


def shown(*names: str) -> Answer:
    return 200, {"Content-Type": "text/html"}, "".join(f"<img src=/{name} alt='{name}'>" for name in names).encode()


MISSING: Answer = (404, {}, b"")


def test_pages_pictures_and_robots_txt_share_one_throttle(serve: Callable[..., Any], tmp_path: Path) -> None:
    log: list[float] = []
    names = ["a.png", "b.png", "c.png"]
    paths = {f"/{name}": timed(log, MISSING) for name in [*names, "robots.txt", ".well-known/tdmrep.json"]}
    site = serve({"/": timed(log, shown(*names))} | paths)
    crawl(open_store(tmp_path / "home"), settings_of(site, delay_s=0.2, concurrency_per_host=8))
    assert len(log) == 6
    assert min(later - earlier for earlier, later in pairwise(log)) >= 0.15


def test_retry_after_is_waited_for_before_anything_else_is_asked(serve: Callable[..., Any], tmp_path: Path) -> None:
    log: list[float] = []
    busy: Answer = (503, {"Retry-After": "1"}, b"")
    site = serve({"/": shown("a.png"), "/a.png": timed(log, busy, MISSING)})
    store = open_store(tmp_path / "home")
    crawl(store, settings_of(site, retries=1))
    assert statuses(store) == {"a.png": "http_error"}
    assert len(log) == 2 and log[1] - log[0] >= 0.95


def test_a_busy_host_is_left_alone_and_its_rows_alone_are_tried_again(serve: Callable[..., Any], tmp_path: Path) -> None:
    log: list[float] = []
    names = [f"{number}.png" for number in range(6)]
    busy = timed(log, (429, {"Retry-After": "0"}, b""))
    site = serve({"/": shown(*names), **{f"/{name}": busy for name in names}})
    store = open_store(tmp_path / "home")
    crawl(store, settings_of(site, retries=0, stop_after_busy=3, concurrency_per_host=1))
    assert sorted(statuses(store).values()) == ["host_stopped"] * 3 + ["http_error"] * 3
    assert len(log) == 3
    for name in names:
        site.answers[f"/{name}"] = MISSING
    site.asked.clear()
    crawl(store, settings_of(site, retry_failed=True))
    assert set(statuses(store).values()) == {"http_error"}
    assert {path for path in site.asked if path.endswith(".png")} == {f"/{name}" for name in names} and "/" not in site.asked


@pytest.mark.parametrize(("host", "first"), [("pictures.example:80", 0.1), ("127.0.0.1:80", 0.0)])
def test_a_slow_public_host_is_asked_more_slowly_and_crawl_delay_is_the_least(host: str, first: float) -> None:
    from unclip_crawl.spider.throttle import Throttle

    settings = CrawlSettings(batch="a", contact="a@example.org", folders=("f",), allow_loopback=True, delay_s=0.0, concurrency_per_host=64)

    async def delays() -> list[float]:
        throttle = Throttle(settings, CircuitBreaker(settings))
        found = []
        async with throttle.turn(f"http://{host}/a.png") as site:
            assert site == host and throttle.slots[site]._value == (7 if first else 63)
        found.append(throttle.delays[host])
        for latency, status in ((4.0, 200), (0.2, 404), (0.2, 200)):
            throttle.note_latency(host, latency, status)
            found.append(throttle.delays[host])
        throttle.slow_down(host, 5.0)
        throttle.note_latency(host, 0.2, 200)
        return [*found, throttle.delays[host]]

    assert asyncio.run(delays()) == pytest.approx([0.1, 4.0, 4.0, 2.1, 5.0] if first else [0.0, 0.0, 0.0, 0.0, 5.0])

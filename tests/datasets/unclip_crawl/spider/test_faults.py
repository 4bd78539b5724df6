"""Tests of what a crawl survives: hard kills, deadlines, a parent that goes away, a disk that says no, names that lie."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_crawl.spider.errors import refusals
from unclip_crawl.spider.resolver import PublicAddresses
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.shards import read_shard, shard_names
from unclip_pairs.store import Store

pytestmark = pytest.mark.slow
PICTURES = 60


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def unhurried(number: int) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    def answer() -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.15)
        return 200, {"Content-Type": "image/png"}, picture(number)

    return answer


@pytest.fixture
def site(serve: Callable[..., Any]) -> Any:
    images = "".join(f"<img src=/{number}.png alt='number {number}'>" for number in range(PICTURES))
    page = (200, {"Content-Type": "text/html"}, images.encode())
    return serve({"/": page} | {f"/{number}.png": unhurried(number) for number in range(PICTURES)})


def settings_of(site: Any, **changes: Any) -> CrawlSettings:
    where = {"batch": "a", "contact": "tests@example.org", "seeds": (site.url + "/",), "allow_loopback": True, "delay_s": 0}
    return CrawlSettings(**where | {"concurrency_per_host": 2, "flush_s": 0.2, "shard_size": 20, "deadline_s": 60.0} | changes)


def started(store: Store, settings: CrawlSettings) -> subprocess.Popen[bytes]:
    """The crawl's process as `crawl` starts it, once it has stored something."""
    command = [sys.executable, "-m", "unclip_crawl", "--store", str(store.root), "--settings", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps({"settings": settings.as_json()}).encode() + b"\n")
    process.stdin.flush()
    for line in process.stdout:
        if json.loads(line)["done"] >= 5:
            break
    return process


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def assert_whole(store: Store) -> None:
    rows = read_table(store.path("crawl/a/rows.parquet")).to_pylist()
    assert sorted(row["caption"] for row in rows) == sorted(f"number {number}" for number in range(PICTURES))
    assert {row["status"] for row in rows} == {"ok"}
    stored = {sample["__key__"]: name for name in shard_names(store, "crawl/a/shard-") for sample in read_shard(store, name)}
    assert stored == {row["key"]: row["shard"] for row in rows}


def test_a_hard_kill_loses_seconds_and_the_next_run_goes_on(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    process = started(store, settings_of(site))
    time.sleep(1.5)
    process.kill()
    assert ended(process) == -signal.SIGKILL
    kept = site.asked.total()
    crawl(store, settings_of(site))
    assert_whole(store)
    twice = [path for path, times in site.asked.items() if times > 1 and path != "/robots.txt"]
    assert len(twice) <= kept // 2, f"fetched again: {twice}"
    assert site.asked["/"] == 1, "the page was remembered"


def test_a_kill_while_the_shards_are_written_leaves_every_file_whole(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    for moment in (0.0, 0.4, 0.9):
        process = started(store, settings_of(site, shard_size=3, flush_s=0.1))
        time.sleep(moment)
        process.kill()
        ended(process)
    crawl(store, settings_of(site, shard_size=3))
    assert_whole(store)


def test_the_crawl_ends_when_its_parent_goes_away_and_keeps_what_it_has(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    process = started(store, settings_of(site, flush_s=1000))
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert ended(process) == 130
    assert store.names("crawl/a/open/") != []
    assert not store.exists("crawl/a/manifest.json")


def test_ctrl_c_stops_politely(site: Any, tmp_path: Path) -> None:
    process = started(open_store(tmp_path / "home"), settings_of(site))
    process.send_signal(signal.SIGINT)
    assert ended(process) == 130


def test_at_the_deadline_what_is_left_becomes_rows(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    begun = time.monotonic()
    manifest = crawl(store, settings_of(site, deadline_s=2.5))
    assert manifest.counts["ok"] + manifest.counts["timeout"] == manifest.counts["rows"] == PICTURES
    assert manifest.counts["timeout"] > 0 and time.monotonic() - begun < 90  # starting the crawl takes 25 s on a busy machine
    crawl(store, settings_of(site, retry_failed=True))
    assert_whole(store)


def test_no_more_requests_at_once_than_the_settings_say(site: Any, tmp_path: Path) -> None:
    crawl(open_store(tmp_path / "home"), settings_of(site, concurrency_per_host=3))
    assert 1 <= site.most_at_once <= 3


def test_two_crawls_of_one_batch_do_not_mix(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    process = started(store, settings_of(site, concurrency_per_host=1, flush_s=1000, deadline_s=600))
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UserError, match="another process"):
            crawl(store, settings_of(site))
    finally:
        process.kill()
        ended(process)


def test_a_disk_that_refuses_ends_the_crawl_with_one_sentence_and_exit_code_2(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    (tmp_path / "home/crawl/a").mkdir(parents=True)
    (tmp_path / "home/crawl/a/journal").write_text("a file in the way")
    with pytest.raises(UserError, match="journal") as caught:
        crawl(store, settings_of(site))
    assert "\n" not in str(caught.value)
    (tmp_path / "home/crawl/a/journal").unlink()
    crawl(store, settings_of(site))
    assert_whole(store)


def test_the_command_line_says_what_is_wrong_in_one_sentence(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "unclip_crawl",
        "--store",
        str(tmp_path),
        "--batch",
        "a",
        "--contact",
        "nobody",
        "--seed",
        "http://h.example/",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONWARNINGS": "error"})
    assert answer.returncode == 2
    assert answer.stderr.startswith("contact 'nobody'") and answer.stderr.count("\n") == 1


class Resolved:
    """Takes what a resolver passes on."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def resolutionBegan(self, resolution: Any) -> None:
        """Nothing to note."""

    def addressResolved(self, address: Any) -> None:
        self.hosts.append(address.host)

    def resolutionComplete(self) -> None:
        """Nothing to note."""


@pytest.fixture
def forgotten() -> Iterator[None]:
    refusals.clear()
    yield
    refusals.clear()


def test_a_name_that_turns_private_the_second_time_is_refused_the_second_time(forgotten: None) -> None:
    from twisted.internet.address import IPv4Address, IPv6Address

    # twisted declares by zope that these are IAddress, which no type checker reads
    answers: tuple[list[Any], ...] = (
        [IPv4Address("TCP", "93.184.216.34", 80)],
        [IPv4Address("TCP", "127.0.0.1", 80), IPv6Address("TCP", "::ffff:10.0.0.1", 80)],
    )
    passed = []
    for addresses in answers:
        receiver = Resolved()
        guarded = PublicAddresses(receiver, "rebinding.example", CrawlSettings(batch="a", contact="a@example.org", folders=("f",)))
        for address in addresses:
            guarded.addressResolved(address)
        passed.append(receiver.hosts)
    assert passed == [["93.184.216.34"], []]
    assert "rebinding.example" in refusals

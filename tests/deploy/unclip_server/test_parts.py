"""The server's parts by themselves: batching, rate limit, keys, settings, and what is found out before it starts."""

import hashlib
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_release.provenance import Provenance, png_bytes
from unclip_server.api.access import AccessDatabase, AuditEntry, open_access
from unclip_server.api.batching import Batcher, Job, QueueFull
from unclip_server.api.limits import RateLimiter
from unclip_server.api.serve import serve
from unclip_server.api.settings import Settings, read_settings
from unclip_server.service import PictureRequest, Source
from unclip_server.sockets import bound_socket


class SlowPainter:
    """Paints one pixel per seed, and only when it is let."""

    def __init__(self) -> None:
        self.may_paint = threading.Event()
        self.has_begun = threading.Event()
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, requests: Sequence[PictureRequest]) -> list[Image.Image]:
        self.has_begun.set()
        assert self.may_paint.wait(10)
        seeds = tuple(seed for request in requests for seed in request.seeds)
        self.calls.append(seeds)
        return [Image.new("RGB", (1, 1), (seed, 0, 0)) for seed in seeds]


@pytest.fixture
def painter() -> SlowPainter:
    return SlowPainter()


@pytest.fixture
def batcher(painter: SlowPainter) -> Iterator[Batcher]:
    found = Batcher(painter, max_waiting=4, max_batch=4)
    found.start()
    yield found
    painter.may_paint.set()
    found.stop()


def job(*seeds: int, size: int = 256) -> Job:
    return Job(PictureRequest(prompt="a ball", seeds=seeds, size=size))


def variation(*seeds: int) -> Job:
    return Job(PictureRequest(source=Source(Image.new("RGB", (4, 4)), "ab"), seeds=seeds))


def busy(batcher: Batcher, painter: SlowPainter) -> Job:
    """A first job that holds the brush, so that what is submitted next waits."""
    first = job(0)
    batcher.submit(first)
    assert painter.has_begun.wait(10)
    return first


def test_waiting_jobs_of_one_size_are_painted_together_and_in_order(batcher: Batcher, painter: SlowPainter) -> None:
    busy(batcher, painter)
    jobs = [job(1, 2), job(3, size=512), job(4), job(5, 6)]
    futures = [batcher.submit(each) for each in jobs]
    painter.may_paint.set()
    reds = [[picture.getpixel((0, 0))[0] for picture in future.result(10)] for future in futures]  # type: ignore[index]
    assert reds == [[1, 2], [3], [4], [5, 6]]
    assert painter.calls == [(0,), (1, 2, 4), (3,), (5, 6)]
    assert batcher.batches_painted == 4


def test_variations_wait_in_the_same_queue_and_are_painted_together(batcher: Batcher, painter: SlowPainter) -> None:
    busy(batcher, painter)
    futures = [batcher.submit(each) for each in (variation(1, 2), job(3), variation(4))]
    painter.may_paint.set()
    assert [len(future.result(10)) for future in futures] == [2, 1, 1]
    assert painter.calls == [(0,), (1, 2, 4), (3,)]


def test_a_cancelled_job_is_not_painted(batcher: Batcher, painter: SlowPainter) -> None:
    busy(batcher, painter)
    gone, kept = batcher.submit(job(1)), batcher.submit(job(2))
    gone.cancel()
    painter.may_paint.set()
    assert len(kept.result(10)) == 1
    assert painter.calls == [(0,), (2,)]


def test_a_full_queue_says_so_and_cancelled_jobs_make_room(batcher: Batcher, painter: SlowPainter) -> None:
    busy(batcher, painter)
    futures = [batcher.submit(job(seed)) for seed in range(1, 5)]
    with pytest.raises(QueueFull):
        batcher.submit(job(5))
    futures[0].cancel()
    batcher.submit(job(5))


def test_one_broken_batch_leaves_the_easel_working() -> None:
    def paint(requests: Sequence[PictureRequest]) -> list[Image.Image]:
        if requests[0].seeds == (0,):
            raise RuntimeError("the brush broke")
        return [Image.new("RGB", (1, 1))] * len(requests)

    batcher = Batcher(paint)
    batcher.start()
    with pytest.raises(RuntimeError, match="the brush broke"):
        batcher.submit(job(0)).result(10)
    assert len(batcher.submit(job(1)).result(10)) == 1
    batcher.stop()


def test_stopping_cancels_what_waits_and_takes_nothing_more(painter: SlowPainter) -> None:
    batcher = Batcher(painter)
    batcher.start()
    first = busy(batcher, painter)
    waiting = batcher.submit(job(1))
    painter.may_paint.set()
    batcher.stop()
    assert len(first.pictures.result(10)) == 1
    with pytest.raises(QueueFull):
        batcher.submit(job(2))
    if waiting.cancelled():
        with pytest.raises(CancelledError):
            waiting.result(0)


def test_the_pace_is_a_sliding_minute_for_each_key() -> None:
    now = [1000.0]
    limiter = RateLimiter(5, clock=lambda: now[0])
    assert limiter.take("a", 3).remaining == 2
    now[0] += 30
    assert limiter.take("a", 2).remaining == 0
    refused = limiter.take("a", 2)
    assert refused.retry_after == 30
    assert refused.headers["retry-after"] == "30"
    assert limiter.take("b", 5).retry_after is None
    now[0] += 30.1
    assert limiter.take("a", 2).retry_after is None
    assert limiter.take("a", 6).retry_after == 60


@pytest.fixture
def access(store: Store) -> Iterator[AccessDatabase]:
    found = open_access(store)
    yield found
    found.close()


def test_a_key_is_told_once_and_only_its_hash_is_stored(access: AccessDatabase, store: Store) -> None:
    key = access.create("anna")
    assert key.startswith("sk-unclip-")
    found = access.verify(key)
    assert found is not None
    assert (found.name, found.hint) == ("anna", key[-4:])
    assert access.verify(key + "x") is None
    with sqlite3.connect(store.path("access/access.db")) as connection:
        assert key not in "".join(connection.iterdump())
    connection.close()
    assert store.path("access/access.db").stat().st_mode & 0o077 == 0


def test_a_revoked_key_opens_nothing_and_its_name_stays_taken(access: AccessDatabase) -> None:
    key = access.create("anna")
    assert access.revoke("anna").revoked is not None
    assert access.verify(key) is None
    assert [found.name for found in access.all_keys() if found.revoked] == ["anna"]
    with pytest.raises(UserError, match="'anna' exists or existed"):
        access.create("anna")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x", "é;"])
def test_a_key_needs_a_plain_name(access: AccessDatabase, name: str) -> None:
    with pytest.raises(UserError, match="the key name"):
        access.create(name)


def test_a_key_that_is_not_there_cannot_be_revoked(access: AccessDatabase) -> None:
    with pytest.raises(UserError, match="no key named 'bob'"):
        access.revoke("bob")


def test_an_audit_log_from_before_there_were_variations_is_carried_on(access: AccessDatabase, store: Store) -> None:
    with access.engine.begin() as connection:
        connection.execute(text("ALTER TABLE requests DROP COLUMN source_sha256"))
        connection.execute(text("INSERT INTO requests VALUES ('r1', '2026-01-01 00:00:00', 'anna', '', 'unclip/1', 'ab', 1, '7', 'ok')"))
    again = open_access(store)
    entry = AuditEntry(
        request_id="r2", key_name="anna", user="", model="unclip/1", prompt=None, image=b"picture", pictures=1, first_seed=7, outcome="ok"
    )
    again.record(entry)
    assert [found.source_sha256 for found in again.requests("anna")] == [hashlib.sha256(b"picture").hexdigest(), None]
    again.close()


def test_a_secret_is_made_once(access: AccessDatabase, store: Store) -> None:
    again = open_access(store)
    assert access.secret("links") == again.secret("links") != access.secret("other")
    again.close()


def test_the_same_picture_and_origin_are_the_same_bytes() -> None:
    picture = Image.effect_noise((32, 32), 40).convert("RGB")
    origin = Provenance(model="unclip/1", manifest="ab", seed=1, prompt="a ball")
    first = png_bytes(picture, origin)
    time.sleep(0.01)
    assert png_bytes(picture, origin) == first
    assert b"a ball" not in first


def test_settings_come_from_the_environment_with_safe_defaults() -> None:
    home = Path("/x")
    assert read_settings(home=home, variables={}) == Settings(home=home)
    assert read_settings(home=home, variables={}).host == "127.0.0.1"
    assert read_settings(home=home, variables={"UNCLIP_PORT": "9", "UNCLIP_HOST": ""}) == Settings(home=home, port=9)
    assert read_settings(home=home, port=0, host="::1", variables={"UNCLIP_PORT": "9", "UNCLIP_HOST": "h"}).port == 0
    for name, value in (("UNCLIP_PORT", "99999"), ("UNCLIP_PORT", "http"), ("UNCLIP_IMAGES_PER_MINUTE", "0")):
        with pytest.raises(UserError, match=name):
            read_settings(home=home, variables={name: value})


def test_a_busy_port_is_a_sentence_before_anything_is_loaded(store: Store) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} on 127.0.0.1 is in use; choose another with --port"):
            serve(Settings(home=store.root, port=port), say=lambda text: None)
    assert not store.exists("access/access.db")


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1"):
        bound_socket("192.0.2.1", 0)


def test_without_a_champion_the_server_does_not_start(registered_store: Store) -> None:
    with pytest.raises(UserError, match="has no champion; run `unclip demo`"):
        serve(Settings(home=registered_store.root, port=0), say=lambda text: None)

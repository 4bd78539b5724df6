"""The server's parts by themselves: easel, pace, keys, settings, and what is found out before it starts."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_server.api.access import Access, open_access
from unclip_server.api.batching import Easel, Job, QueueFull
from unclip_server.api.limits import Limiter
from unclip_server.api.provenance import Provenance, png_bytes
from unclip_server.api.serve import bound_socket, serve
from unclip_server.api.settings import Settings, load_settings


class SlowPainter:
    """Paints one pixel per seed, and only when it is let."""

    def __init__(self) -> None:
        self.may_paint = threading.Event()
        self.has_begun = threading.Event()
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        self.has_begun.set()
        assert self.may_paint.wait(10)
        self.calls.append(tuple(seeds))
        return [Image.new("RGB", (1, 1), (seed, 0, 0)) for seed in seeds]


@pytest.fixture
def painter() -> SlowPainter:
    return SlowPainter()


@pytest.fixture
def easel(painter: SlowPainter) -> Iterator[Easel]:
    found = Easel(painter, max_waiting=4, max_batch=4)
    found.start()
    yield found
    painter.may_paint.set()
    found.stop()


def job(*seeds: int, size: int = 256) -> Job:
    return Job(("a ball",) * len(seeds), seeds, size, None)


def busy(easel: Easel, painter: SlowPainter) -> Job:
    """A first job that holds the brush, so that what is submitted next waits."""
    first = job(0)
    easel.submit(first)
    assert painter.has_begun.wait(10)
    return first


def test_waiting_jobs_of_one_size_are_painted_together_and_in_order(easel: Easel, painter: SlowPainter) -> None:
    busy(easel, painter)
    jobs = [job(1, 2), job(3, size=512), job(4), job(5, 6)]
    futures = [easel.submit(each) for each in jobs]
    painter.may_paint.set()
    reds = [[picture.getpixel((0, 0))[0] for picture in future.result(10)] for future in futures]  # type: ignore[index]
    assert reds == [[1, 2], [3], [4], [5, 6]]
    assert painter.calls == [(0,), (1, 2, 4), (3,), (5, 6)]
    assert easel.batches_painted == 4


def test_a_cancelled_job_is_not_painted(easel: Easel, painter: SlowPainter) -> None:
    busy(easel, painter)
    gone, kept = easel.submit(job(1)), easel.submit(job(2))
    gone.cancel()
    painter.may_paint.set()
    assert len(kept.result(10)) == 1
    assert painter.calls == [(0,), (2,)]


def test_a_full_queue_says_so_and_cancelled_jobs_make_room(easel: Easel, painter: SlowPainter) -> None:
    busy(easel, painter)
    futures = [easel.submit(job(seed)) for seed in range(1, 5)]
    with pytest.raises(QueueFull):
        easel.submit(job(5))
    futures[0].cancel()
    easel.submit(job(5))


def test_one_broken_batch_leaves_the_easel_working() -> None:
    def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        if seeds[0] == 0:
            raise RuntimeError("the brush broke")
        return [Image.new("RGB", (1, 1))] * len(seeds)

    easel = Easel(paint)
    easel.start()
    with pytest.raises(RuntimeError, match="the brush broke"):
        easel.submit(job(0)).result(10)
    assert len(easel.submit(job(1)).result(10)) == 1
    easel.stop()


def test_stopping_cancels_what_waits_and_takes_nothing_more(painter: SlowPainter) -> None:
    easel = Easel(painter)
    easel.start()
    first = busy(easel, painter)
    waiting = easel.submit(job(1))
    painter.may_paint.set()
    easel.stop()
    assert len(first.pictures.result(10)) == 1
    with pytest.raises(QueueFull):
        easel.submit(job(2))
    if waiting.cancelled():
        with pytest.raises(CancelledError):
            waiting.result(0)


def test_the_pace_is_a_sliding_minute_for_each_key() -> None:
    now = [1000.0]
    limiter = Limiter(5, clock=lambda: now[0])
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
def access(store: Store) -> Iterator[Access]:
    found = open_access(store)
    yield found
    found.close()


def test_a_key_is_told_once_and_only_its_hash_is_stored(access: Access, store: Store) -> None:
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


def test_a_revoked_key_opens_nothing_and_its_name_stays_taken(access: Access) -> None:
    key = access.create("anna")
    assert access.revoke("anna").revoked is not None
    assert access.verify(key) is None
    assert [found.name for found in access.all_keys() if found.revoked] == ["anna"]
    with pytest.raises(UserError, match="'anna' exists or existed"):
        access.create("anna")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x", "é;"])
def test_a_key_needs_a_plain_name(access: Access, name: str) -> None:
    with pytest.raises(UserError, match="the key name"):
        access.create(name)


def test_a_key_that_is_not_there_cannot_be_revoked(access: Access) -> None:
    with pytest.raises(UserError, match="no key named 'bob'"):
        access.revoke("bob")


def test_a_secret_is_made_once(access: Access, store: Store) -> None:
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
    assert load_settings({}) == Settings(home=Path("var").absolute())
    assert load_settings({}).host == "127.0.0.1"
    found = load_settings({"UNCLIP_HOME": "/x", "UNCLIP_PORT": "9", "MLFLOW_TRACKING_URI": "http://m", "UNCLIP_SAFETY_POLICY": "p.yaml"})
    assert found == Settings(home=Path("/x"), port=9, tracking_uri="http://m", policy=Path("p.yaml"))
    for name, value in (("UNCLIP_PORT", "99999"), ("UNCLIP_PORT", "http"), ("UNCLIP_IMAGES_PER_MINUTE", "0")):
        with pytest.raises(UserError, match=name):
            load_settings({name: value})


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

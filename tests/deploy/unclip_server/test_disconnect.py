"""What happens to a request whose client is gone or whose picture cannot be checked in time: nothing is painted for nobody."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import Request
from PIL import Image
from starlette.types import Message

from unclip_pairs.store import Store
from unclip_safety.policy import load_policy
from unclip_safety.prompts import refuser
from unclip_server.api.access import Key, open_access
from unclip_server.api.images import CLIENT_GONE, Dependencies, ImageEndpoint, bounded_body
from unclip_server.api.messages import ApiError
from unclip_server.api.results import Results
from unclip_server.api.settings import Settings
from unclip_server.service import ImageService, Painter, ServedModel


class Brush:
    """Paints when it is let, and remembers which seeds it painted."""

    def __init__(self) -> None:
        self.may_paint, self.seeds = threading.Event(), list[int]()

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        assert self.may_paint.wait(10)
        self.seeds += seeds
        return [Image.new("RGB", (size, size))] * len(seeds)


@pytest.fixture
def brush() -> Brush:
    return Brush()


@pytest.fixture
def endpoint(store: Store, brush: Brush) -> Iterator[ImageEndpoint]:
    access = open_access(store)
    service = ImageService(
        model=ServedModel(label="unclip/1", manifest="ab"),
        painter=Painter(paint=brush, vary=lambda images, seeds, size: list(images)),
        refuse=refuser(load_policy()),
        check=lambda image: None,
    )
    settings = Settings(home=store.root, images_per_minute=3, max_waiting=1)
    found = ImageEndpoint(Dependencies(service=service, access=access, results=Results(store, b"secret"), settings=settings))
    found.batcher.start()
    yield found
    brush.may_paint.set()
    found.batcher.stop()
    access.close()


async def ask(endpoint: ImageEndpoint, seed: int, gone: asyncio.Event | None = None) -> dict[str, Any]:
    """One request; its client goes away when `gone` is set."""
    body = json.dumps({"prompt": "a red ball", "size": "256x256", "response_format": "b64_json", "seed": seed}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "state": {"request_id": f"req_{seed}", "headers": {}}}
    key = next(iter(endpoint.access.all_keys()), None) or _made(endpoint)
    return await endpoint.generate(Request(scope, receive), key)


def _made(endpoint: ImageEndpoint) -> Key:
    endpoint.access.create("tester")
    return endpoint.access.all_keys()[0]


async def until_waiting(endpoint: ImageEndpoint, count: int) -> None:
    while endpoint.batcher.waiting != count:
        await asyncio.sleep(0.01)


def test_a_request_whose_client_is_gone_is_not_painted(endpoint: ImageEndpoint, brush: Brush) -> None:
    async def story() -> None:
        gone = asyncio.Event()
        first = asyncio.create_task(ask(endpoint, 1))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(ask(endpoint, 2, gone))
        await until_waiting(endpoint, 1)
        gone.set()
        with pytest.raises(ApiError) as caught:
            await second
        assert caught.value.status == CLIENT_GONE
        brush.may_paint.set()
        assert len((await first)["data"]) == 1

    asyncio.run(story())
    endpoint.batcher.stop()
    assert brush.seeds == [1]
    assert {row.outcome for row in endpoint.access.requests("tester")} == {"ok", "client_gone"}


def test_an_upload_whose_client_goes_away_in_the_middle_is_no_error_of_the_server() -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"--b", "more_body": True}]

    async def receive() -> Message:
        return messages.pop()

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(ApiError) as caught:
        asyncio.run(bounded_body(request))
    assert caught.value.status == CLIENT_GONE


def test_a_full_queue_and_a_spent_minute_say_when_to_come_back(endpoint: ImageEndpoint, brush: Brush) -> None:
    async def story() -> None:
        first = asyncio.create_task(ask(endpoint, 1))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(ask(endpoint, 2))
        await until_waiting(endpoint, 1)
        with pytest.raises(ApiError) as full:
            await ask(endpoint, 3)
        assert (full.value.status, full.value.kind, full.value.headers["retry-after"]) == (503, "server_error", "5")
        with pytest.raises(ApiError) as spent:
            await ask(endpoint, 4)
        assert (spent.value.status, spent.value.kind, spent.value.code) == (429, "requests", "rate_limit_exceeded")
        assert spent.value.message.startswith("Rate limit exceeded for images per minute")
        assert "Limit: 3/1min. Current: 4/1min." in spent.value.message
        assert 50 < int(spent.value.headers["retry-after"]) <= 60
        brush.may_paint.set()
        await asyncio.gather(first, second)

    asyncio.run(story())

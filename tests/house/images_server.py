"""Images API for tests: a real server over a small true painter, and what asks it."""

import contextlib
import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from unclip_pairs.home import open_store
from unclip_pairs.store import Store
from unclip_safety.policy import Refusal, load_policy
from unclip_safety.prompts import refuser
from unclip_server.api.access import AccessDatabase, open_access
from unclip_server.api.app import create_app
from unclip_server.api.images import Dependencies
from unclip_server.api.results import Results
from unclip_server.api.settings import Settings
from unclip_server.service import ImageService, Painter, ServedModel
from unclip_server.sockets import bound_socket

FORBIDDEN_GREEN = (0, 255, 0)


def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
    """A small true painter: noise of the seed, tinted by the prompt. 'green' paints what the output check refuses."""

    def one(prompt: str, seed: int) -> Image.Image:
        if "green" in prompt:
            return Image.new("RGB", (size, size), FORBIDDEN_GREEN)
        if "stumble" in prompt:
            raise RuntimeError("the brush broke")
        tint = np.frombuffer(hashlib.sha256(prompt.encode()).digest()[:3], np.uint8)
        noise = np.random.default_rng(seed).integers(0, 64, (size // 8, size // 8, 3))
        return Image.fromarray((noise + tint % 192).astype(np.uint8)).resize((size, size))

    return [one(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]


def vary(images: Sequence[Image.Image], seeds: Sequence[int], size: int) -> list[Image.Image]:
    """Each picture under noise of the seed. The forbidden green comes of a black picture, which is not forbidden itself."""

    def one(image: Image.Image, seed: int) -> Image.Image:
        if image.getpixel((0, 0)) == (0, 0, 0):
            return Image.new("RGB", (size, size), FORBIDDEN_GREEN)
        noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)
        return Image.blend(image.resize((size, size)), Image.fromarray(noise), 0.2)

    return [one(image, seed) for image, seed in zip(images, seeds, strict=True)]


def check(image: Image.Image) -> Refusal | None:
    """The forbidden green may not leave, and may not be sent."""
    return Refusal("sexual", load_policy().picture_message) if image.getpixel((0, 0)) == FORBIDDEN_GREEN else None


@dataclass(frozen=True)
class Served:
    """A server, a key of it, and what is behind it."""

    url: str
    key: str
    access: AccessDatabase
    store: Store


def small_service(*, can_vary: bool = True) -> ImageService:
    """The image service over the small true painter."""
    model = ServedModel(label="unclip/3", manifest="ab" * 32, created=1_700_000_000)
    return ImageService(model=model, painter=Painter(paint=paint, vary=vary, can_vary=can_vary), refuse=refuser(load_policy()), check=check)


@contextlib.contextmanager
def serving(home: Path, service: ImageService) -> Iterator[Served]:
    """The Images API over a home, in a thread of this process, over real HTTP on loopback."""
    store = open_store(home)
    access = open_access(store)
    dependencies = Dependencies(
        service=service,
        access=access,
        results=Results(store, access.secret("links")),
        settings=Settings(home=store.root, images_per_minute=1000),
    )
    with bound_socket("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(dependencies), log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server stopped before it was ready"
            time.sleep(0.01)
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", access.create("tester"), access, store)
        server.should_exit = True
        thread.join(10)
    access.close()


def get(url: str) -> bytes:
    """The body behind a link."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def ask(
    served: Served,
    body: object,
    path: str = "/v1/images/generations",
    method: str = "POST",
    key: str | None = None,
    content_type: str = "application/json",
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and body of a raw request, for what the client would not send."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": content_type, "authorization": f"Bearer {key or served.key}"}
    request = urllib.request.Request(f"{served.url}{path}", data if method == "POST" else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.loads(error.read())

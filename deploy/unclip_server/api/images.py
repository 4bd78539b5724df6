"""One request from its body to its pictures: pace, refusal, painting, output check, provenance, answer."""

import asyncio
import base64
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from PIL import Image
from starlette.concurrency import run_in_threadpool

from unclip_safety.outputs import Check
from unclip_safety.policy import Refusal
from unclip_safety.prompts import Refuse
from unclip_server.api.access import Access, AuditEntry, Key
from unclip_server.api.batching import Easel, Job, Paint, QueueFull
from unclip_server.api.limits import Limiter
from unclip_server.api.messages import ApiError, ImageRequest, image_request, json_fields
from unclip_server.api.provenance import Provenance, png_bytes
from unclip_server.api.results import Results

MAX_BODY = 64 * 1024
DRAWN_SEEDS = 2**31
COMPATIBLE_NAMES = ("dall-e-2", "unclip")
CLIENT_GONE = 499


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What is served: the version's label (`unclip/3`), the digest of its bundle, and when it was released (unix seconds)."""

    label: str
    manifest: str
    created: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which clients may ask for it."""
        return (*COMPATIBLE_NAMES, self.label)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is allowed. `public_url` is the address that links begin with; None: the one the client used."""

    images_per_minute: int = 60
    max_waiting: int = 64
    max_batch: int = 10
    public_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All that the app is built from. `paint(prompts, seeds, size, guidance)` gives one RGB picture for each seed."""

    paint: Paint
    refuse: Refuse
    check: Check
    access: Access
    results: Results
    model: ServedModel
    options: Options = field(default_factory=Options)


def rejected(refusal: Refusal) -> ApiError:
    """The answer to what the policy refuses; the category stays in the audit log, as it would only teach how to get around it."""
    return ApiError(400, refusal.message, code="content_policy_violation")


async def bounded_body(request: Request) -> bytes:
    """The body; `ApiError` 413 when it is larger than any request of this API, before all of it is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ApiError(413, f"The body of your request is larger than {MAX_BODY // 1024} KB.")
    return bytes(body)


async def _disconnected(request: Request) -> None:
    """Returns when the client has gone away. Only for requests whose body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Studio:
    """Answers requests for pictures. One for each app."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.easel = Easel(parts.paint, parts.options.max_waiting, parts.options.max_batch)
        self.limiter = Limiter(parts.options.images_per_minute)

    async def generate(self, request: Request, key: Key) -> dict[str, Any]:
        """The answer to POST /v1/images/generations; `ApiError` for everything else than 200."""
        asked = image_request(json_fields(await bounded_body(request)))
        self._check_model(asked)
        request.state.headers = self._pace(key, asked)
        first = secrets.randbelow(DRAWN_SEEDS) if asked.seed is None else asked.seed
        try:
            answer = await self._answer(request, asked, first)
        except ApiError as error:
            await self._record(request, key, asked, first, error.code or f"status {error.status}")
            raise
        await self._record(request, key, asked, first, "ok")
        return answer

    async def _answer(self, request: Request, asked: ImageRequest, first: int) -> dict[str, Any]:
        if refusal := await run_in_threadpool(self.parts.refuse, asked.prompt):
            raise rejected(refusal)
        seeds = tuple(range(first, first + asked.n))
        pictures = await self._painted(request, Job((asked.prompt,) * asked.n, seeds, asked.size, asked.guidance))
        base_url = self.parts.options.public_url or str(request.base_url)
        data = await run_in_threadpool(self._finished, asked, seeds, pictures, base_url)
        request.state.headers |= {"x-unclip-model": self.parts.model.label, "x-unclip-seeds": ",".join(map(str, seeds))}
        return {"created": int(time.time()), "data": data}

    def _check_model(self, asked: ImageRequest) -> None:
        if asked.model and asked.model not in self.parts.model.names:
            raise ApiError(404, f"The model '{asked.model}' does not exist", param="model", code="model_not_found")

    def _pace(self, key: Key, asked: ImageRequest) -> dict[str, str]:
        pace = self.limiter.take(key.name, asked.n)
        if pace.retry_after is None:
            return pace.headers
        told = f"Limit: {pace.limit}/1min. Current: {pace.limit - pace.remaining + asked.n}/1min."
        raise ApiError(
            429,
            f"Rate limit exceeded for images per minute for the key {key.name}. {told} Please try again later.",
            kind="requests",
            code="rate_limit_exceeded",
            headers=pace.headers,
        )

    async def _painted(self, request: Request, job: Job) -> list[Image.Image]:
        """The pictures; the job is cancelled when the client goes away before its turn."""
        try:
            painting = asyncio.wrap_future(self.easel.submit(job))
        except QueueFull as error:
            told = "The engine is currently overloaded, please try again later"
            raise ApiError(503, told, kind="server_error", headers={"retry-after": "5"}) from error
        watcher = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({painting, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not painting.done():
                raise ApiError(CLIENT_GONE, "The client closed the connection.", code="client_gone")
            return painting.result()
        finally:
            painting.cancel()
            watcher.cancel()

    def _finished(self, asked: ImageRequest, seeds: tuple[int, ...], pictures: list[Image.Image], base_url: str) -> list[dict[str, str]]:
        """The checked pictures as the API gives them; `ApiError` when a single one may not leave."""
        for picture in pictures:
            if refusal := self.parts.check(picture):
                raise rejected(refusal)
        pngs = [self._png(asked, seed, picture) for seed, picture in zip(seeds, pictures, strict=True)]
        if asked.response_format == "b64_json":
            return [{"b64_json": base64.b64encode(png).decode()} for png in pngs]
        return [{"url": self.parts.results.save(png, base_url)} for png in pngs]

    def _png(self, asked: ImageRequest, seed: int, picture: Image.Image) -> bytes:
        model = self.parts.model
        origin = Provenance(model=model.label, manifest=model.manifest, seed=seed, prompt=asked.prompt, guidance=asked.guidance)
        return png_bytes(picture, origin)

    async def _record(self, request: Request, key: Key, asked: ImageRequest, first: int, outcome: str) -> None:
        entry = AuditEntry(
            request_id=request.state.request_id,
            key_name=key.name,
            user=asked.user or "",
            model=self.parts.model.label,
            prompt=asked.prompt,
            pictures=asked.n,
            first_seed=first,
            outcome=outcome,
        )
        await run_in_threadpool(self.parts.access.record, entry)

"""Image endpoint: one request from its body to its answer, with rate limit, queue and audit log around the image service."""

import asyncio
import base64
import secrets
import time
from dataclasses import dataclass

from fastapi import Request
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from unclip_pairs.images import DecodeError
from unclip_pairs.limits import MAX_PIXELS
from unclip_server.api.access import AccessDatabase, AuditEntry, Key
from unclip_server.api.batching import Batcher, Job, QueueFull
from unclip_server.api.forms import read_form
from unclip_server.api.limits import RateLimiter
from unclip_server.api.messages import MAX_IMAGE, ApiError, ImageRequest, image_request, json_fields, variation_request
from unclip_server.api.results import Results
from unclip_server.api.settings import Settings
from unclip_server.service import ImageService, PictureRequest, PolicyRefused, ServedModel, Source, read_source

MAX_BODY = 64 * 1024
MAX_FORM = MAX_IMAGE + MAX_BODY
DRAWN_SEEDS = 2**31
COMPATIBLE_NAMES = ("dall-e-2", "unclip")
CLIENT_GONE = 499


def model_names(model: ServedModel) -> tuple[str, ...]:
    """The names under which clients may ask for the model."""
    return (*COMPATIBLE_NAMES, model.label)


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """All that the app is built from."""

    service: ImageService
    access: AccessDatabase
    results: Results
    settings: Settings


def rejected(refused: PolicyRefused) -> ApiError:
    """The answer to what the policy refuses; the category is left out, as it would only teach how to get around it."""
    return ApiError(400, str(refused), code="content_policy_violation")


async def bounded_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The body; `ApiError` 413 when it is larger than `most` bytes, before all of it is read, and 499 when the client goes away."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise ApiError(413, f"The body of your request is larger than {most // 1024} KB.")
    except ClientDisconnect as error:
        raise ApiError(CLIENT_GONE, "The client closed the connection.", code="client_gone") from error
    return bytes(body)


async def _disconnected(request: Request) -> None:
    """Returns when the client has gone away. Only for requests whose body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class ImageEndpoint:
    """Answers requests for pictures: limits, queue, audit log and the API's form around the image service. One for each app."""

    def __init__(self, dependencies: Dependencies) -> None:
        self.service, self.access, self.results = dependencies.service, dependencies.access, dependencies.results
        self.public_url = dependencies.settings.public_url
        self.batcher = Batcher(self.service.paint, dependencies.settings.max_waiting, dependencies.settings.max_batch)
        self.limiter = RateLimiter(dependencies.settings.images_per_minute)
        self._decoding = asyncio.Semaphore(1)  # an upload of few bytes may hold 50 million pixels

    async def generate(self, request: Request, key: Key) -> dict[str, object]:
        """The answer to POST /v1/images/generations; `ApiError` for everything else than 200."""
        return await self._recorded(request, key, image_request(json_fields(await bounded_body(request))))

    async def vary(self, request: Request, key: Key) -> dict[str, object]:
        """The answer to POST /v1/images/variations; `ApiError` for everything else than 200."""
        if not self.service.painter.can_vary:
            message = f"The model '{self.service.model.label}' cannot vary images, it has nothing that reads them; ask with a prompt."
            raise ApiError(400, message, param="model")
        form = read_form(request.headers.get("content-type", ""), await bounded_body(request, MAX_FORM))
        return await self._recorded(request, key, variation_request(form.texts, form.files))

    async def _recorded(self, request: Request, key: Key, asked: ImageRequest) -> dict[str, object]:
        """The answer to a checked request, whatever it asks for: paced first, and in the audit log however it ends."""
        self._check_model(asked)
        request.state.headers = self._take_rate_limit(key, asked)
        first = secrets.randbelow(DRAWN_SEEDS) if asked.seed is None else asked.seed
        try:
            answer = await self._answer(request, asked, first)
        except ApiError as error:
            await self._record(request, key, asked, first, error.code or f"status {error.status}")
            raise
        await self._record(request, key, asked, first, "ok")
        return answer

    async def _answer(self, request: Request, asked: ImageRequest, first: int) -> dict[str, object]:
        seeds = tuple(range(first, first + asked.n))
        source = None if asked.image is None else await self._source(asked.image)
        pictures = PictureRequest(prompt=asked.prompt, source=source, seeds=seeds, size=asked.size, guidance=asked.guidance)
        try:
            await run_in_threadpool(self.service.admit, pictures)
            images = await self._painted(request, Job(pictures))
            pngs = await run_in_threadpool(self.service.finish, pictures, images)
        except PolicyRefused as refused:
            raise rejected(refused) from refused
        data = await run_in_threadpool(self._data, asked, pngs, self.public_url or str(request.base_url))
        request.state.headers |= {"x-unclip-model": self.service.model.label, "x-unclip-seeds": ",".join(map(str, seeds))}
        return {"created": int(time.time()), "data": data}

    async def _source(self, image: bytes) -> Source:
        """The uploaded picture, decoded; one at a time, so that many uploads cannot fill the memory."""
        try:
            async with self._decoding:
                return await run_in_threadpool(read_source, image)
        except DecodeError as error:
            remedy = f"send a PNG, JPEG, WebP or GIF picture of at most {MAX_PIXELS // 10**6} megapixels"
            raise ApiError(400, f"The image cannot be used ({error.detail}); {remedy}.", param="image") from error

    def _check_model(self, asked: ImageRequest) -> None:
        if asked.model and asked.model not in model_names(self.service.model):
            raise ApiError(404, f"The model '{asked.model}' does not exist", param="model", code="model_not_found")

    def _take_rate_limit(self, key: Key, asked: ImageRequest) -> dict[str, str]:
        limit = self.limiter.take(key.name, asked.n)
        if limit.retry_after is None:
            return limit.headers
        numbers = f"Limit: {limit.limit}/1min. Current: {limit.limit - limit.remaining + asked.n}/1min."
        raise ApiError(
            429,
            f"Rate limit exceeded for images per minute for the key {key.name}. {numbers} Please try again later.",
            kind="requests",
            code="rate_limit_exceeded",
            headers=limit.headers,
        )

    async def _painted(self, request: Request, job: Job) -> list[Image.Image]:
        """The pictures; the job is cancelled when the client goes away before its turn."""
        try:
            painting = asyncio.wrap_future(self.batcher.submit(job))
        except QueueFull as error:
            message = "The engine is currently overloaded, please try again later"
            raise ApiError(503, message, kind="server_error", headers={"retry-after": "5"}) from error
        watcher = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({painting, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not painting.done():
                raise ApiError(CLIENT_GONE, "The client closed the connection.", code="client_gone")
            return painting.result()
        finally:
            painting.cancel()
            watcher.cancel()

    def _data(self, asked: ImageRequest, pngs: list[bytes], base_url: str) -> list[dict[str, str]]:
        """The pictures as the API gives them: in base64, or behind links."""
        if asked.response_format == "b64_json":
            return [{"b64_json": base64.b64encode(png).decode()} for png in pngs]
        return [{"url": self.results.save(png, base_url)} for png in pngs]

    async def _record(self, request: Request, key: Key, asked: ImageRequest, first: int, outcome: str) -> None:
        entry = AuditEntry(
            request_id=request.state.request_id,
            key_name=key.name,
            user=asked.user or "",
            model=self.service.model.label,
            prompt=asked.prompt,
            image=asked.image,
            pictures=asked.n,
            first_seed=first,
            outcome=outcome,
        )
        await run_in_threadpool(self.access.record, entry)

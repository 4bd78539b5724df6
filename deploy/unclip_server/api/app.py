"""App: the routes of the Images API, every answer with a request id, every error in one envelope."""

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unclip_server.api.access import AccessDatabase, Key
from unclip_server.api.images import Dependencies, ImageEndpoint, model_names
from unclip_server.api.messages import ApiError, schema, variation_schema
from unclip_server.service import ServedModel

logger = logging.getLogger("unclip_server")

_NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY). `unclip keys create NAME` makes one."
)
_OUR_FAULT = "The server had an error while processing your request. Sorry about that!"


def _answer(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body, error.status, error.headers)


class RequestIds:
    """ASGI middleware: gives each request an id and each answer its headers; what nobody caught becomes a 500 in the envelope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"], state["headers"] = f"req_{secrets.token_hex(16)}", {}
        started, has_begun = time.monotonic(), False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = state["request_id"]
                headers["openai-processing-ms"] = str(round(1000 * (time.monotonic() - started)))
                headers.update({name: value for name, value in state["headers"].items() if name not in headers})
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("%s failed", state["request_id"])
            if has_begun:
                raise
            await _answer(ApiError(500, _OUR_FAULT, kind="server_error"))(scope, receive, send_with_headers)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _answer(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router refuses, in the words of OpenAI's router."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(ApiError(404, f"Invalid URL ({request.method} {request.url.path})"))
    if error.status_code == 405:
        message = f"Not allowed to {request.method} on {request.url.path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        return _answer(ApiError(405, message, headers=error.headers))
    return _answer(ApiError(error.status_code, str(error.detail), headers=error.headers))


class Authentication:
    """A FastAPI dependency: the key of the request, or `ApiError` 401."""

    def __init__(self, access: AccessDatabase) -> None:
        self.access = access

    async def __call__(self, request: Request) -> Key:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        headers = {"www-authenticate": "Bearer"}
        if scheme.lower() != "bearer" or not secret.strip():
            raise ApiError(401, _NO_KEY, headers=headers)
        key = await run_in_threadpool(self.access.verify, secret.strip())
        if key is None:
            message = f"Incorrect API key provided: {secret[:3]}***{secret.strip()[-4:]}. `unclip keys list` shows the keys of this server."
            raise ApiError(401, message, code="invalid_api_key", headers=headers)
        return key


def _card(model: ServedModel, name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": model.created, "owned_by": "unclip"}


def create_app(dependencies: Dependencies) -> FastAPI:
    """The app. Its painting thread starts and ends with it."""
    endpoint, authentication = ImageEndpoint(dependencies), Authentication(dependencies.access)
    model = dependencies.service.model

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        endpoint.batcher.start()
        yield
        await run_in_threadpool(endpoint.batcher.stop)

    app = FastAPI(title="unCLIP", version=model.label, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestIds)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    _add_images(app, endpoint, authentication)
    _add_models(app, model, authentication)
    _add_health(app, endpoint)
    return app


def _body(content_type: str, fields: dict[str, object]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {content_type: {"schema": fields}}}}


def _add_images(app: FastAPI, endpoint: ImageEndpoint, authentication: Authentication) -> None:
    @app.post("/v1/images/generations", openapi_extra=_body("application/json", schema()))
    async def generations(request: Request, key: Key = Depends(authentication)) -> dict[str, object]:
        """Pictures for a prompt."""
        return await endpoint.generate(request, key)

    @app.post("/v1/images/variations", openapi_extra=_body("multipart/form-data", variation_schema()))
    async def variations(request: Request, key: Key = Depends(authentication)) -> dict[str, object]:
        """Other pictures that mean what a picture means."""
        return await endpoint.vary(request, key)

    @app.api_route("/v1/results/{name}", methods=["GET", "HEAD"], response_class=FileResponse, include_in_schema=False)
    async def result(name: str, expires: str = "", signature: str = "") -> FileResponse:
        """A painted picture, for who holds its link."""
        path = endpoint.results.open(name, expires, signature)
        return FileResponse(path, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


def _add_models(app: FastAPI, model: ServedModel, authentication: Authentication) -> None:
    @app.get("/v1/models")
    async def models(key: Key = Depends(authentication)) -> dict[str, object]:
        """The one model that is served, under each of its names."""
        return {"object": "list", "data": [_card(model, name) for name in model_names(model)]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str, key: Key = Depends(authentication)) -> dict[str, object]:
        """One name of the model that is served."""
        if name not in model_names(model):
            raise ApiError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
        return _card(model, name)


def _add_health(app: FastAPI, endpoint: ImageEndpoint) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, object]:
        """Whether the server works, and on what."""
        model, batcher = endpoint.service.model, endpoint.batcher
        return {
            "status": "ok",
            "model": model.label,
            "manifest": model.manifest,
            "waiting": batcher.waiting,
            "batches": batcher.batches_painted,
        }

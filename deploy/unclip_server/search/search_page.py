"""Search page: pictures by words, by a picture or by likeness, in a browser, by keyboard.

It works with forms alone; a script adds keys and pictures that are dropped, pasted or chosen. Nothing is fetched from anywhere.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from ipaddress import ip_address

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from unclip_curation.search.retrieval import SearchQuery, Vector
from unclip_pairs.errors import UserError
from unclip_pairs.limits import MAX_BYTES
from unclip_server.search.finder import Finder, number, read_body
from unclip_server.search.search_service import add_service
from unclip_server.templates import HEADERS, templates

COUNT, MOST = 24, 200
PAGE_HEADERS = HEADERS | {"content-security-policy": HEADERS["content-security-policy"] + "; connect-src 'self'"}
STATIC = {"labelling.css": "text/css", "search.css": "text/css", "search.js": "text/javascript"}


def create_search_app(finder: Finder) -> FastAPI:
    """The page and, under the addresses of `clip-retrieval back`, its service."""
    app = FastAPI(title="unCLIP search", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(UserError, _mistake)

    @app.middleware("http")
    async def guard(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await follow(request) if is_meant(request.headers.get("host", ""), finder.host) else _stranger()
        for name, value in PAGE_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    _add_page(app, finder)
    _add_pictures(app, finder)
    add_service(app, finder)
    return app


def is_meant(header: str, host: str) -> bool:
    """Whether a request's Host header names us: on loopback only loopback does, so that no page elsewhere can read what is here."""
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
    return not _is_loopback(host) or _is_loopback(name.strip("[]"))


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _stranger() -> Response:
    return PlainTextResponse("Open the address that `unclip serve search` printed.\n", 421)


async def _mistake(request: Request, error: Exception) -> Response:
    if request.method == "POST":
        return JSONResponse({"error": str(error)}, 400)
    return HTMLResponse(templates.get_template("search.html").render(sentence=str(error), given={}, indices=[], rows=None), 400)


def _add_page(app: FastAPI, finder: Finder) -> None:
    @app.get("/")
    def page(request: Request) -> Response:
        """What was asked, and what was found."""
        given = dict(request.query_params)
        vector = _vector(finder, given)
        asked = SearchQuery(
            count=number(given.get("n"), "n", COUNT, MOST),
            indices=[given["index"]] if given.get("index") else None,
            modality=given.get("by") or "image",
            distinct="copies" not in given,
        )
        rows = None if vector is None else finder.find(vector, asked)
        finder.pictures.locate(row["key"] for row in rows or [])
        shown = {"given": given, "indices": finder.engine.indices, "rows": rows, "about": finder.engine.about}
        return HTMLResponse(templates.get_template("search.html").render(shown, safe=finder.visibility.safe))

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return PlainTextResponse("not here\n", 404)
        return Response(files("unclip_server").joinpath("pages", name).read_bytes(), media_type=STATIC[name])


def _vector(finder: Finder, given: Mapping[str, str]) -> Vector | None:
    """What is searched near to: a stored picture's vector, that of a picture given before, that of words; None when nothing was asked."""
    if key := given.get("like"):
        found = finder.shown_picture(key)
        if found is None:
            raise UserError(f"the picture {key[:40]!r} is not here; search by words")
        return finder.picture(found[0])
    if name := given.get("picture"):
        if name not in finder.asked_with:
            raise UserError("the picture that was asked with is forgotten; give it again")
        return finder.asked_with[name]
    return finder.words(given["q"]) if given.get("q", "").strip() else None


def _add_pictures(app: FastAPI, finder: Finder) -> None:
    @app.post("/picture-query")
    async def picture_query(request: Request) -> Response:
        """Takes a picture in and says where what is near to it is shown."""
        name = await run_in_threadpool(finder.remember, await read_body(request, MAX_BYTES))
        return JSONResponse({"address": f"/?picture={name}"})

    @app.get("/picture/{key}")
    def picture(key: str) -> Response:
        found = finder.shown_picture(key)
        return Response(found[0], media_type=found[1]) if found else PlainTextResponse("this picture is not here\n", 404)

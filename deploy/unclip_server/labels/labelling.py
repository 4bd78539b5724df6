"""Labelling page: people look at pictures, blurred until they hold a key, and say whether a category fits.

It works by keyboard and with forms alone; every answer is in the label book before the next picture is shown.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import parse_qs, quote, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from unclip_labels.label_store import LabelStore, check_rater, now
from unclip_labels.raters import RestAdvice, agreements, disputed, progress
from unclip_labels.specifications import SECTIONS, sections
from unclip_pairs.errors import UserError
from unclip_server.templates import HEADERS, templates

Pictures = Callable[[str], tuple[bytes, str] | None]
"""The bytes and the content type of a stored picture by its key, or None when it is not there."""
TOKEN, RATER = "unclip_label", "unclip_rater"
MAX_FORM = 10_000
STATIC = {"labelling.css": "text/css", "labelling.js": "text/javascript"}


@dataclass(frozen=True)
class LabelPage:
    """What the page works with. `token` is in the link that is printed at the start: who does not have it sees nothing."""

    book: LabelStore
    pictures: Pictures
    pace: RestAdvice
    token: str


def create_label_app(page: LabelPage) -> FastAPI:
    """The app over this page."""
    app = FastAPI(title="unCLIP labels", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(UserError, _mistake)

    @app.middleware("http")
    async def guard(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await follow(request) if _is_admitted(request, page) else _forbidden()
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    _add_entrance(app, page)
    _add_rating(app, page)
    _add_reading(app, page)
    return app


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _is_admitted(request: Request, page: LabelPage) -> bool:
    if request.url.path.startswith("/static/"):
        return True
    offered = request.query_params.get("token", "") if request.url.path == "/" else ""
    return _same(request.cookies.get(TOKEN, "") or offered, page.token)


def _forbidden() -> Response:
    return PlainTextResponse("Open the whole link that `unclip serve labels` printed, the part after token= included.\n", 403)


async def _mistake(request: Request, error: Exception) -> Response:
    return HTMLResponse(templates.get_template("mistake.html").render(sentence=str(error)), 400)


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            raise UserError(f"the form is longer than {MAX_FORM} bytes; answer one picture at a time")
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).items()}


def _rater(request: Request) -> str:
    return check_rater(unquote(request.cookies.get(RATER, "")))


def _add_entrance(app: FastAPI, page: LabelPage) -> None:
    @app.get("/")
    def entrance(request: Request, token: str = "") -> Response:
        """Who rates, and what."""
        if token:
            answer = _to("/")
            answer.set_cookie(TOKEN, page.token, httponly=True, samesite="strict")
            return answer
        known = [(name, page.book.specification(name), page.book.items(name)) for name in page.book.categories()]
        name = unquote(request.cookies.get(RATER, ""))
        return HTMLResponse(templates.get_template("entrance.html").render(categories=known, rater=name))

    @app.post("/start")
    async def start(request: Request) -> Response:
        form = await _form(request)
        answer = _to(f"/rate/{quote(form.get('category', ''), safe='')}")
        answer.set_cookie(RATER, quote(check_rater(form.get("rater", "").strip())), httponly=True, samesite="strict")
        return answer

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return PlainTextResponse("not here\n", 404)
        return Response(files("unclip_server").joinpath("pages", name).read_bytes(), media_type=STATIC[name])


def _add_rating(app: FastAPI, page: LabelPage) -> None:
    book = page.book

    @app.get("/rate/{category}")
    def rate(request: Request, category: str, again: str = "") -> Response:
        """The next picture, or a break when one is due."""
        rater = _rater(request)
        if page.pace.is_break_due(book.work_since_rest(rater), now()):
            return HTMLResponse(templates.get_template("break.html").render(category=category, pace=page.pace))
        return HTMLResponse(templates.get_template("rate.html").render(_shown(book, category, rater, again)))

    @app.post("/rate/{category}")
    async def answer(request: Request, category: str) -> Response:
        form, rater = await _form(request), _rater(request)
        await run_in_threadpool(book.label, category, form.get("key", ""), rater, form.get("value", ""))
        return _to(f"/rate/{category}")

    @app.post("/undo/{category}")
    def undo(request: Request, category: str) -> Response:
        key = book.undo(category, _rater(request))
        return _to(f"/rate/{category}?again={key}" if key else f"/rate/{category}")

    @app.post("/rest/{category}")
    def rest(request: Request, category: str) -> Response:
        book.rest(_rater(request))
        return _to(f"/rate/{category}")


def _shown(book: LabelStore, category: str, rater: str, again: str) -> dict[str, object]:
    specification, items = book.specification(category), book.items(category)
    shared = [one for one in agreements(items) if rater in one.raters]
    return {
        "specification": specification,
        "parts": _parts(specification.text),
        "item": book.next_item(category, rater, again),
        "progress": progress(items, rater),
        "rater": rater,
        "agreement": shared[0] if shared else None,
        "taken_back": bool(again),
    }


def _parts(text: str) -> list[tuple[str, list[str]]]:
    """The sections of a page, each with its paragraphs and points without their marks."""
    found = sections(text)
    return [(name, [line.lstrip("* ").replace("`", "").replace("*", "") for line in found[name].splitlines() if line]) for name in SECTIONS]


def _add_reading(app: FastAPI, page: LabelPage) -> None:
    @app.get("/agreement/{category}")
    def agreement(request: Request, category: str) -> Response:
        """How well raters agree, and on what they do not."""
        specification, items = page.book.specification(category), page.book.items(category)
        return HTMLResponse(
            templates.get_template("agreement.html").render(
                specification=specification, agreements=agreements(items), disputed=disputed(items), items=items
            )
        )

    @app.get("/picture/{key}")
    def picture(key: str) -> Response:
        found = page.pictures(key)
        return Response(found[0], media_type=found[1]) if found else PlainTextResponse("this picture is not in the store\n", 404)

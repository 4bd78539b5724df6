"""Planted web's HTTP server: plain files, and every way in which a real server fails a crawler.

It runs in a process of its own on asyncio streams, because it must be able to do what HTTP libraries rightly refuse: to never answer,
and to promise more bytes than it sends.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypedDict

HUGE_BYTES = 10**9
SLOW_S = 120.0
IDLE_S = 60.0
MAX_HEADER_LINES = 100


@dataclass(frozen=True)
class SiteAnswer:
    """A status with headers and a body; `length` is the promised length when it is not the body's."""

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None

    def encoded(self, *, head_only: bool) -> bytes:
        """The bytes on the wire."""
        length = len(self.body) if self.length is None else self.length
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else self.body)


def _text(status: HTTPStatus, text: str, content_type: str = "text/html; charset=utf-8", **headers: str) -> SiteAnswer:
    return SiteAnswer(status, text.encode(), {"Content-Type": content_type, **headers})


class ServedRoute(TypedDict):
    """A `Route` as site.json holds it."""

    do: str
    file: str
    content_type: str
    location: str
    headers: dict[str, str]


class Site:
    """What the folder `starter/site` holds, as answers to paths."""

    def __init__(self, folder: Path) -> None:
        site = json.loads((folder / "site.json").read_text("utf-8"))
        self.folder = folder
        self.robots: dict[str, str] = site["robots"]
        self.index: dict[str, str] = site["index"]
        self.pages: dict[str, str] = site["pages"]
        self.routes: dict[str, ServedRoute] = site["routes"]

    def answer(self, host: str, path: str) -> SiteAnswer | None:
        """The answer of one of the two hosts, or None: none will come."""
        if path == "/robots.txt":
            return _text(HTTPStatus.OK, self.robots[host], "text/plain; charset=utf-8")
        if path in ("/", "/index.html"):
            return _text(HTTPStatus.OK, self.index[host])
        if path in self.pages:
            return _text(HTTPStatus.OK, self.pages[path])
        if path in self.routes:
            return self._picture(self.routes[path])
        return _text(HTTPStatus.NOT_FOUND, "<h1>There is no such page</h1>")

    def _picture(self, route: ServedRoute) -> SiteAnswer | None:
        match route["do"]:
            case "slow":
                return None
            case "redirect":
                return _text(HTTPStatus.FOUND, "", Location=route["location"])
            case "huge":
                return SiteAnswer(HTTPStatus.OK, bytes(65_536), {"Content-Type": "image/png"}, length=HUGE_BYTES)
            case _:
                data = (self.folder / route["file"]).read_bytes()
                return SiteAnswer(HTTPStatus.OK, data, {"Content-Type": route["content_type"], **route["headers"]})


async def _request(reader: asyncio.StreamReader) -> tuple[str, str] | None:
    """Method and path of the next request, its headers read away; None when the client is gone or speaks no HTTP."""
    line = (await asyncio.wait_for(reader.readline(), IDLE_S)).decode("latin-1").split()
    if len(line) != 3:
        return None
    for _ in range(MAX_HEADER_LINES):
        if (await asyncio.wait_for(reader.readline(), IDLE_S)).strip() == b"":
            return line[0], line[1].partition("#")[0]
    return None


async def _converse(site: Site, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one request after the other until the client leaves or an answer cannot be kept."""
    while (request := await _request(reader)) is not None:
        method, path = request
        if method not in ("GET", "HEAD"):
            answer: SiteAnswer | None = _text(HTTPStatus.METHOD_NOT_ALLOWED, "<h1>Only GET and HEAD</h1>")
        else:
            answer = site.answer(host, path)
        if answer is None:
            await asyncio.sleep(SLOW_S)
            return
        writer.write(answer.encoded(head_only=method == "HEAD"))
        await writer.drain()
        if answer.length is not None:
            await asyncio.sleep(SLOW_S)
            return


async def _listen(site: Site, host: str, port: int) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a client may leave at any time, and a request line may be longer than any limit (ValueError)
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            await _converse(site, host, reader, writer)
        writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def serve(folder: Path, ports: Mapping[str, int], ready: Callable[[dict[str, int]], None]) -> None:
    """Serves the site's hosts on 127.0.0.1 until cancelled; `ready` gets the ports taken (0 asks for any). `OSError` on a busy one."""
    site = Site(folder)
    with contextlib.ExitStack() as stack:
        taken = dict[str, int]()
        for host, port in ports.items():
            server = await _listen(site, host, port)
            stack.callback(server.close)
            taken[host] = server.sockets[0].getsockname()[1]
        ready(taken)
        await asyncio.Event().wait()

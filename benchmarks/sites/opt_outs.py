"""A table of ways in which a site says no to a crawler, or yes, and a web on loopback that says them: every case is a host of its own.

The test `tests/datasets/fetching/test_unclip_crawl_opt_outs.py` and `benchmarks/consent.py` crawl it and look at what was stored.
"""

import asyncio
import contextlib
import io
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import Image

Headers = Mapping[str, str]
Answer = tuple[int, Headers, bytes]
HANG, RESET = (0, {"hang": ""}, b""), (0, {}, b"")
TOKEN = "unclip-crawler"
PORT = 8879


@dataclass(frozen=True)
class Case:
    """One host: what it answers, which picture is asked for, whether by a page, and the status it must end with."""

    name: str
    status: str
    robots: Answer = (404, {}, b"")
    tdmrep: Answer = (404, {}, b"")
    path: str = "/p/x.png"
    headers: Headers = field(default_factory=dict)
    page: Answer | None = None
    others: Mapping[str, Answer] = field(default_factory=dict)


def rules(text: str, status: int = 200) -> Answer:
    """A robots.txt."""
    return status, {"Content-Type": "text/plain"}, text.encode()


def to(where: str, headers: Headers | None = None) -> Answer:
    """A redirect."""
    return 302, {"Location": where} | dict(headers or {}), b""


def hops(count: int, last: Answer) -> dict[str, Answer]:
    """A robots.txt behind `count` redirects."""
    chain = {f"/r{number}": to(f"/r{number + 1}") for number in range(1, count)}
    return {"/robots.txt": to("/r1"), **chain, f"/r{count}": last}


def page(head: str = "", headers: Headers | None = None) -> Answer:
    """A page with the picture on it."""
    body = f"<html><head>{head}</head><body><img src='/p/x.png' alt='a picture'></body></html>"
    return 200, {"Content-Type": "text/html; charset=utf-8"} | dict(headers or {}), body.encode()


def tag(value: str) -> Headers:
    """An X-Robots-Tag header."""
    return {"X-Robots-Tag": value}


def meta(name: str, content: str) -> str:
    """A meta element."""
    return f'<meta name="{name}" content="{content}">'


def reserved(*places: tuple[str, int]) -> Answer:
    """A tdmrep.json."""
    text = ", ".join(f'{{"location": "{place}", "tdm-reservation": {value}}}' for place, value in places)
    return 200, {"Content-Type": "application/json"}, f"[{text}]".encode()


NO_ROBOTS = "User-agent: *\nDisallow: /\n"
PADDING = "# " + "x" * 77 + "\n"
LONG = NO_ROBOTS + PADDING * 6399
CUT = LONG + "#" * (500 * 1024 - len(LONG) - len("\nAllow: /p/x")) + "\nAllow: /p/x-and-nothing-else\n" + PADDING * 100

CASES = (
    Case("everything is forbidden to all", "robots_denied", rules(NO_ROBOTS)),
    Case("the folder is forbidden to all", "robots_denied", rules("User-agent: *\nDisallow: /p/\n")),
    Case("another folder is forbidden", "ok", rules("User-agent: *\nDisallow: /q/\n")),
    Case("we are named", "robots_denied", rules(f"User-agent: *\nAllow: /\n\nUser-agent: {TOKEN}\nDisallow: /\n")),
    Case("we are named and allowed", "ok", rules(f"{NO_ROBOTS}\nUser-agent: {TOKEN}\nAllow: /\n")),
    Case("only another robot is named", "ok", rules("User-agent: otherbot\nDisallow: /\n")),
    Case(
        "our group is written in two parts",
        "robots_denied",
        rules(f"User-agent: {TOKEN}\nDisallow: /q/\n\nUser-agent: {TOKEN}\nDisallow: /p/\n"),
    ),
    Case("one group is for several robots", "robots_denied", rules(f"User-agent: otherbot\nUser-agent: {TOKEN}\nDisallow: /\n")),
    Case("the longer rule allows", "ok", rules("User-agent: *\nDisallow: /p/\nAllow: /p/x\n")),
    Case("the longer rule forbids", "robots_denied", rules("User-agent: *\nAllow: /p/\nDisallow: /p/x\n")),
    Case("of two equal rules the kinder holds", "ok", rules("User-agent: *\nDisallow: /p/x.png\nAllow: /p/x.png\n")),
    Case("a star within the path", "robots_denied", rules("User-agent: *\nDisallow: /*/x\n")),
    Case("a dollar at the end", "robots_denied", rules("User-agent: *\nDisallow: /*.png$\n")),
    Case("a dollar, and a query behind it", "ok", rules("User-agent: *\nDisallow: /*.png$\n"), path="/p/x.png?v=1"),
    Case("a query is forbidden", "robots_denied", rules("User-agent: *\nDisallow: /*?*size=\n"), path="/p/x.png?v=1&size=9"),
    Case("the rule is escaped", "robots_denied", rules("User-agent: *\nDisallow: /caf%C3%A9/\n"), path="/café/x.png"),
    Case("the address is escaped", "robots_denied", rules("User-agent: *\nDisallow: /café/\n"), path="/caf%C3%A9/x.png"),
    Case("a plain letter is escaped", "robots_denied", rules("User-agent: *\nDisallow: /~u/\n"), path="/%7Eu/x.png"),
    Case("capitals", "robots_denied", rules(f"USER-AGENT: {TOKEN.upper()}\nDISALLOW: /\n")),
    Case("our version stands behind our name", "robots_denied", rules(f"User-agent: {TOKEN}/0.1\nDisallow: /\n")),
    Case("a byte order mark and old Macintosh line ends", "robots_denied", rules("\ufeffUser-agent: *\rDisallow: /\r")),
    Case("comments and empty lines within a group", "robots_denied", rules("User-agent: * # all\n\n# none\nDisallow: / # nothing\n")),
    Case("a sitemap within a group", "robots_denied", rules("User-agent: *\nSitemap: http://h/s.xml\nDisallow: /\n")),
    Case("robots.txt answers 500", "robots_denied", rules("", 500)),
    Case("robots.txt answers 503", "robots_denied", rules("", 503)),
    Case("robots.txt answers 429", "robots_denied", rules("", 429)),
    Case("robots.txt is not there", "ok", rules("", 404)),
    Case("robots.txt may not be read", "ok", rules("", 403)),
    Case("robots.txt breaks off", "connection_error", RESET),
    Case("robots.txt does not answer", "timeout", HANG),
    Case("robots.txt moved", "robots_denied", others=hops(1, rules(NO_ROBOTS))),
    Case("robots.txt moved five times", "robots_denied", others=hops(5, rules(NO_ROBOTS))),
    Case("robots.txt moved five times and allows", "ok", others=hops(5, rules("User-agent: *\nAllow: /\n"))),
    Case("robots.txt moved six times", "robots_denied", others=hops(6, rules("User-agent: *\nAllow: /\n"))),
    Case("robots.txt moves in a circle", "robots_denied", others={"/robots.txt": to("/robots.txt")}),
    Case("robots.txt moved to a forbidding host", "robots_denied", to(f"http://127.2.0.1:{PORT}/robots.txt")),
    Case("the rule stands early in a robots.txt of 700 KiB", "robots_denied", rules(NO_ROBOTS + PADDING * 9000)),
    Case("the bound cuts an allowing line in two", "robots_denied", rules(CUT)),
    Case("robots.txt is a web page", "ok", (200, {"Content-Type": "text/html"}, b"<html><body>Welcome</body></html>")),
    Case(
        "the picture moved to a forbidden place",
        "robots_denied",
        rules("User-agent: *\nDisallow: /q/\n"),
        others={"/p/x.png": to("/q/x.png")},
    ),
    Case("the picture moved to a forbidding host", "robots_denied", others={"/p/x.png": to(f"http://127.2.0.1:{PORT}/p/x.png")}),
    Case("header: noai", "opt_out", headers=tag("noai")),
    Case("header: noimageai", "opt_out", headers=tag("noimageai")),
    Case("header: noindex", "opt_out", headers=tag("noindex")),
    Case("header: none", "opt_out", headers=tag("none")),
    Case("header: noml", "opt_out", headers=tag("noml")),
    Case("header: among others, in capitals", "opt_out", headers=tag("NoArchive, NOAI; nosnippet")),
    Case("header: to us", "opt_out", headers=tag(f"{TOKEN}: noai")),
    Case("header: to another", "ok", headers=tag("otherbot: noindex, noai")),
    Case("header: to another and to us", "opt_out", headers=tag(f"otherbot: noarchive, {TOKEN}: noai")),
    Case("header: all", "ok", headers=tag("all, max-image-preview: large")),
    Case("header: noimageindex", "opt_out", headers=tag("noimageindex")),
    Case("header: in small letters", "opt_out", headers={"x-robots-tag": "noai"}),
    Case("header: of a host that the picture moved to", "opt_out", others={"/p/x.png": to(f"http://127.2.0.42:{PORT}/p/x.png")}),
    Case("header: on the way", "opt_out", others={"/p/x.png": to("/p/y.png", tag("noai"))}),
    Case("header: tdm-reservation 1", "opt_out", headers={"tdm-reservation": "1"}),
    Case("header: tdm-reservation 0", "ok", headers={"tdm-reservation": "0"}),
    Case("page: meta robots", "opt_out", page=page(meta("robots", "index, noai"))),
    Case("page: meta robots, in capitals", "opt_out", page=page(meta("ROBOTS", "NOIMAGEAI"))),
    Case("page: meta noindex", "opt_out", page=page(meta("robots", "noindex, follow"))),
    Case("page: meta none", "opt_out", page=page(meta("robots", "none"))),
    Case("page: tdm-reservation header", "opt_out", page=page(headers={"tdm-reservation": "1"})),
    Case("page: meta to us", "opt_out", page=page(meta(TOKEN, "noml"))),
    Case("page: meta to another", "ok", page=page(meta("otherbot", "noai"))),
    Case("page: meta tdm-reservation", "opt_out", page=page(meta("tdm-reservation", "1"))),
    Case("page: header", "opt_out", page=page(headers=tag("noai"))),
    Case("page: header on the way", "opt_out", page=to("/moved.html", tag("noai")), others={"/moved.html": page()}),
    Case("page: nothing against it", "ok", page=page(meta("robots", "index, follow"))),
    Case("tdmrep.json: all", "opt_out", tdmrep=reserved(("/", 1))),
    Case("tdmrep.json: a pattern", "opt_out", tdmrep=reserved(("/*.png$", 1))),
    Case("tdmrep.json: another folder", "ok", tdmrep=reserved(("/q/", 1))),
    Case("tdmrep.json: free within what is reserved", "ok", tdmrep=reserved(("/", 1), ("/p/", 0))),
    Case("tdmrep.json: reserved within what is free", "opt_out", tdmrep=reserved(("/", 0), ("/p/", 1))),
    Case(
        "tdmrep.json: moved",
        "opt_out",
        to("/rules.txt"),
        to("/tdm.json"),
        others={"/rules.txt": rules(""), "/tdm.json": reserved(("/", 1))},
    ),
    Case("robots.txt is not there any more", "ok", rules("", 410)),
    Case("robots.txt asks for a password", "ok", rules("", 401)),
    Case("robots.txt answers 502", "robots_denied", rules("", 502)),
    Case("tdmrep.json: broken", "ok", tdmrep=(200, {}, b'[{"location": ')),
)


def picture(number: int) -> bytes:
    """A picture that no other host has."""
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48), (number, 255 - number, 7 * number % 256)).save(buffer, "PNG")
    return buffer.getvalue()


def host(number: int) -> str:
    """The address of the case's host; the first one forbids everything."""
    return f"127.2.0.{number + 1}"


def address(number: int) -> str:
    """The picture's address."""
    return f"http://{host(number)}:{PORT}{CASES[number].path}"


def _answers(number: int) -> dict[str, Answer]:
    case = CASES[number]
    shown = (200, {"Content-Type": "image/png"}, picture(number))
    plain = {case.path: (200, {"Content-Type": "image/png"} | dict(case.headers), picture(number)), "/q/x.png": shown, "/p/y.png": shown}
    own = {"/robots.txt": case.robots, "/.well-known/tdmrep.json": case.tdmrep, "/": case.page or (404, {}, b"")}
    return {path.encode("ascii", "backslashreplace").decode(): answer for path, answer in (plain | own | dict(case.others)).items()}


class Web:
    """The hosts, in a thread; `asked` counts requests by (host number, path)."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, str]] = Counter()
        self.servers: list[asyncio.Server] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        for number in range(len(CASES)):
            asyncio.run_coroutine_threadsafe(self._listen(number), self.loop).result(10)

    async def _listen(self, number: int) -> None:
        answers = _answers(number)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._converse(number, answers, reader, writer)
            writer.close()

        self.servers.append(await asyncio.start_server(connected, host(number), PORT))

    async def _converse(
        self, number: int, answers: Mapping[str, Answer], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode("latin-1")
            self.asked[number, path] += 1
            status, headers, body = answers.get(path) or self._escaped(answers, path)
            if status == 0:
                await asyncio.sleep(30.0 if "hang" in headers else 0.0)
                return
            lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()

    def _escaped(self, answers: Mapping[str, Answer], path: str) -> Answer:
        """A picture's answer when the client spells its path in another way."""
        return next((answer for known, answer in answers.items() if known.endswith("/x.png") and path.endswith("/x.png")), (404, {}, b""))

    def close(self) -> None:
        """Stops the thread; what is open is dropped."""
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def _end(self) -> None:
        for server in self.servers:
            server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)


@contextlib.contextmanager
def web() -> Iterator[Web]:
    """The web, until the block ends."""
    running = Web()
    try:
        yield running
    finally:
        running.close()


def seeds() -> list[str]:
    """The pages that the cases with a page begin with."""
    return [f"http://{host(number)}:{PORT}/" for number, case in enumerate(CASES) if case.page is not None]


def listed() -> list[str]:
    """The addresses that the other cases are asked for."""
    return [address(number) for number, case in enumerate(CASES) if case.page is None]

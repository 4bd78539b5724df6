"""Small web site on loopback, for tests of the crawl."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = tuple[int, dict[str, str], bytes]


class Site:
    """Answers by path, and a log of what was asked and by whom."""

    def __init__(self, answers: dict[str, Answer | Callable[[], Answer]]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.at_once = self.most_at_once = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked[self.path] += 1
                site.agents.add(self.headers["User-Agent"])
                with site.counted(), contextlib.suppress(ConnectionError):  # the crawl may hang up, that is its right
                    self.answer()

            def answer(self) -> None:
                answer = site.answers.get(self.path, (404, {}, b""))
                status, headers, body = answer() if callable(answer) else answer
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Notes how many requests are being answered at once."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        yield
        self.at_once -= 1

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[dict[str, Answer | Callable[[], Answer]]], Site]]:
    """Gives a function that puts a site with these answers on the network, until the module's tests are done."""
    sites: list[Site] = []

    def put(answers: dict[str, Answer | Callable[[], Answer]]) -> Site:
        sites.append(Site(answers))
        return sites[-1]

    yield put
    for site in sites:
        site.close()

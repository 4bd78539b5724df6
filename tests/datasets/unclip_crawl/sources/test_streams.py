"""Tests of streams over real connections: busy servers are waited for, and a connection that breaks is taken up where it broke."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from unclip_crawl.sources.streams import Access, Unreadable, opened
from unclip_pairs.errors import UserError

BODY = bytes(range(256)) * 4000


class Mirror:
    """Serves `BODY` at every path, by ranges; the next answers can be refusals, redirects or connections that break."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.breaks_after: list[int] = []
        self.knows_ranges = True
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    mirror.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        asked = to.headers["Range"]
        self.asked.append(asked)
        if self.refusals:
            status, headers = self.refusals.pop(0)
            to.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                to.send_header(name, value)
            to.end_headers()
            return
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.knows_ranges else 0
        to.send_response(206 if start else 200)
        to.send_header("ETag", '"one"')
        to.send_header("Content-Length", str(len(BODY) - start))
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        to.end_headers()
        to.wfile.write(BODY[start : start + self.breaks_after.pop(0)] if self.breaks_after else BODY[start:])


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    served = Mirror()
    yield served
    served.server.shutdown()
    served.server.server_close()


def waiting(**more: Any) -> tuple[Access, list[float]]:
    """Access that notes how long it would wait, and does not."""
    waited: list[float] = []
    return Access(sleep=waited.append, timeout_s=5, **more), waited


def whole(address: str, access: Access) -> bytes:
    with opened(address, access) as source:
        data = b"".join(iter(lambda: source.read(100_000), b""))
        assert source.at == source.size == len(data)
        return data


def test_a_busy_server_is_waited_for_as_it_asks_else_longer_each_time(mirror: Mirror) -> None:
    mirror.refusals = [(503, {"Retry-After": "7"}), (403, {}), (429, {})]
    access, waited = waiting()
    assert whole(f"{mirror.url}/a", access) == BODY
    assert waited == [7, 2, 4]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(mirror: Mirror, knows_ranges: bool) -> None:
    mirror.breaks_after, mirror.knows_ranges = [300_000, 200_000], knows_ranges
    access, waited = waiting()
    assert whole(f"{mirror.url}/a", access) == BODY
    assert mirror.asked[0] is None
    assert all(asked is not None for asked in mirror.asked[1:])
    assert waited


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([(404, {})], "HTTP 404"),
        ([(503, {})] * 3, "HTTP 503"),
        ([(503, {"Retry-After": "4000"})], "4000 seconds"),
        ([(302, {"Location": "http://169.254.169.254/latest"})], "169.254.169.254"),
        ([(302, {"Location": "file:///etc/passwd"})], "file:"),
        ([(302, {"Location": "/again"})] * 9, "redirects"),
    ],
)
def test_what_cannot_be_had_is_told_after_bounded_attempts(mirror: Mirror, refusals: list[Any], words: str) -> None:
    mirror.refusals = refusals
    access, _ = waiting(attempts=3)
    with pytest.raises(Unreadable, match=words):
        whole(f"{mirror.url}/a", access)


def test_a_server_that_is_not_there_is_given_up_soon() -> None:
    access, waited = waiting()
    with pytest.raises(Unreadable) as caught:
        whole("http://127.0.0.1:1/a", access)
    assert (caught.value.reason, len(waited)) == ("connection_error", 2)


def test_s3_is_read_from_the_endpoint_that_is_named(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    mirror.breaks_after = [300_000]
    access, _ = waiting(s3_endpoint=mirror.url)
    assert whole("s3://bucket/some/key.warc.gz", access) == BODY
    with pytest.raises(UserError, match="names no object"):
        whole("s3://bucket", access)


def test_a_local_file_is_read_and_one_that_is_missing_named(tmp_path: Path, warc_record: Callable[..., bytes]) -> None:
    (tmp_path / "a").write_bytes(BODY)
    assert whole(str(tmp_path / "a"), Access()) == BODY
    with pytest.raises(UserError, match="gone is not a file"):
        whole(str(tmp_path / "gone"), Access())

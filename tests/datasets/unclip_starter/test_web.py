"""Tests of the planted web: a site that can fail in every planted way, in a process of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from unclip_crawl.pages.html import read_pairs
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.store import Store
from unclip_starter.concepts import Concept
from unclip_starter.pages import ANNEX, MAIN, ROBOTS, SitePage, galleries, ground_truth_rows, index, page_of_its_own, render, routes
from unclip_starter.planting import Figure, Picture, Route, figure, misaligned, redirected
from unclip_starter.scenes.sentences import Candidates
from unclip_starter.web import PlantedWeb, serve_planted_web
from unclip_starter.web_server import HUGE_BYTES


def captions(alt: str) -> Candidates:
    """Candidates in every place."""
    return Candidates(alt, f"{alt}?", f"Caption: {alt}.", f"Before: {alt}.", f"After: {alt}.", true=(alt,))


def picture(number: int) -> Picture:
    group = ("food and drink", "objects", "faces")[number % 3]
    return Picture(
        concept=Concept(f"c{number}", f"thing {number}", group, None, ()),
        style="noto",
        tone=None,
        file=f"pictures/256/noto/{number}.png",
        captions=captions(f'a "drawing" of <thing> {number} & more'),
        more_captions=captions(f"<thing> {number} once more"),
    )


def site(store: Store, figures: list[Figure]) -> list[SitePage]:
    """Writes a site of these figures."""
    pages = [*galleries(figures[2:], seed=0), page_of_its_own("annex", "Annex", figures[:2], host=ANNEX, licence="https://l")]
    folder = store.path("starter/site/pictures/256/noto")
    folder.mkdir(parents=True)
    for number in range(len(figures)):
        (folder / f"{number}.png").write_bytes(b"picture %d" % number)
    documents = {host: index(pages, host) for host in (MAIN, ANNEX)}
    content = {"robots": ROBOTS, "index": documents, "pages": {page.path: render(page) for page in pages}, "routes": routes(pages)}
    store.write_json("starter/site/site.json", content)
    store.write_json("starter/manifest.json", {})
    return pages


FIGURES = [figure(picture(number), seed=0) for number in range(120)]


def planted(number: int, route: Route) -> Figure:
    return figure(picture(number), seed=0, route=route)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("home"))
    odd = [
        planted(0, Route(do="slow")),
        planted(1, Route(do="huge")),
        planted(2, Route(do="redirect", location=FIGURES[2].url_path)),
        redirected(FIGURES[3], 1),
        planted(4, Route(file=picture(4).file, headers={"X-Robots-Tag": "noai"})),
    ]
    site(store, odd + FIGURES[5:])
    return store


@pytest.fixture(scope="module")
def web(store: Store) -> Iterator[PlantedWeb]:
    with PlantedWeb(store) as web:
        yield web


def get(web: PlantedWeb, path: str, host: int = 0) -> http.client.HTTPResponse:
    return urllib.request.urlopen(web.seeds[host].rstrip("/") + path, timeout=5)


def test_every_page_is_reached_from_the_two_seeds_and_shows_every_figure(web: PlantedWeb, store: Store) -> None:
    seen, waiting, found = set[str](), [(host, "/") for host in range(2)], set[str]()
    while waiting:
        host, path = waiting.pop()
        text = get(web, path, host).read().decode()
        links = {
            line.split('"')[1]
            for line in text.replace('<a rel="next" href=', "\n<a ").replace("<li><a href=", "\n<a ").splitlines()
            if line.startswith("<a ")
        }
        waiting += [(host, link) for link in links - seen]
        seen |= links
        found |= {one.url_path for one in FIGURES if one.url_path.rpartition("/")[2] in text}
    assert len(found) == 120
    assert seen == set(store.read_json("starter/site/site.json")["pages"])


def test_pictures_come_with_type_and_headers(web: PlantedWeb) -> None:
    with get(web, FIGURES[7].url_path) as response:
        assert (response.read(), response.headers["Content-Type"]) == (b"picture 7", "image/png")
    assert get(web, FIGURES[4].url_path).headers["X-Robots-Tag"] == "noai"
    assert "Disallow: /private/" in get(web, "/robots.txt").read().decode()
    assert "Crawl-delay" in get(web, "/robots.txt", host=1).read().decode()


def test_redirects_lead_to_the_picture_or_in_circles(web: PlantedWeb) -> None:
    assert get(web, FIGURES[3].url_path).read() == b"picture 3"
    with pytest.raises(urllib.error.HTTPError, match="infinite loop") as caught:
        get(web, FIGURES[2].url_path)
    caught.value.close()


def test_missing_pictures_are_404(web: PlantedWeb) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(web, "/media/none.png")
    assert caught.value.code == 404
    caught.value.close()


def test_a_slow_picture_does_not_come_and_holds_nobody_up(web: PlantedWeb) -> None:
    slow = http.client.HTTPConnection(web.url.split("/")[2], timeout=0.5)
    slow.request("GET", FIGURES[0].url_path)
    assert get(web, FIGURES[8].url_path).read() == b"picture 8"
    with pytest.raises(TimeoutError):
        slow.getresponse()
    slow.close()


def test_a_huge_picture_says_so_at_once(web: PlantedWeb) -> None:
    connection = http.client.HTTPConnection(web.url.split("/")[2], timeout=5)
    connection.request("GET", FIGURES[1].url_path)
    assert connection.getresponse().headers["Content-Length"] == str(HUGE_BYTES)
    connection.close()


def test_one_connection_serves_many_pictures_quickly(web: PlantedWeb) -> None:
    connection = http.client.HTTPConnection(web.url.split("/")[2], timeout=5)
    started = time.monotonic()
    for number in range(10, 110):
        connection.request("GET", FIGURES[number].url_path)
        assert connection.getresponse().read() == b"picture %d" % number
    connection.close()
    assert time.monotonic() - started < 5  # 0.1 s on a quiet machine


def test_nonsense_ends_the_connection_and_not_the_server(web: PlantedWeb) -> None:
    address, port = web.url.split("/")[2].split(":")
    for nonsense in (b"hello\r\n\r\n", b"\x00" * 100_000, b"POST / HTTP/1.1\r\n\r\n"):
        with socket.create_connection((address, int(port)), timeout=5) as connection:
            connection.sendall(nonsense)
    assert get(web, "/").status == 200


def test_a_busy_port_and_a_site_that_is_not_built_are_explained(store: Store, web: PlantedWeb, tmp_path: Path) -> None:
    port = int(web.url.split(":")[2].strip("/"))
    with pytest.raises(UserError, match=f"port {port}"), PlantedWeb(store, port=port):
        pass
    with pytest.raises(UserError, match=f"port {port}"):
        serve_planted_web(store, port)
    with pytest.raises(UserError, match="unclip starter build"):
        PlantedWeb(open_store(tmp_path))
    with pytest.raises(UserError, match="port is 70000"):
        PlantedWeb(store, port=70_000)


def test_the_server_ends_when_its_parent_is_killed(store: Store) -> None:
    code = "import sys, time; from unclip_starter.web import PlantedWeb; from unclip_pairs.home import open_store\n"
    code += "with PlantedWeb(open_store(sys.argv[1])) as web: print(web.url, web._process.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url, _ = parent.stdout.readline().split()
        urllib.request.urlopen(url, timeout=5).close()
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            return
        time.sleep(0.1)
    raise AssertionError("the server outlived its parent")


def test_slipped_captions_come_from_other_groups() -> None:
    (page,) = misaligned(FIGURES[:20], pages=1, seed=0)
    by_caption = {picture(number).caption: picture(number).concept.group for number in range(20)}
    assert sorted(one.caption for one in page) == sorted(by_caption)
    for one in page:
        assert one.picture is not None
        assert by_caption[one.caption] != one.picture.concept.group and one.true_captions == (one.picture.caption,)


def test_the_ground_truth_has_a_row_for_every_figure_with_the_licence_it_is_published_under() -> None:
    pages = [*galleries(FIGURES[:30], seed=0), page_of_its_own("x", "X", FIGURES[30:32], licence="https://denied")]
    rows = ground_truth_rows(pages)
    assert sorted(row["url_path"] for row in rows) == sorted(one.url_path for one in FIGURES[:32])
    assert [row["licence"] for row in rows[30:]] == ["https://denied"] * 2
    assert rows[0]["licence"] == "https://www.apache.org/licenses/LICENSE-2.0"
    assert json.loads(rows[0]["attributes"])["credit"] == "Noto Emoji (Google)"
    assert asdict(Route()).keys() == routes(pages)[FIGURES[0].url_path].keys()


def test_a_crawler_reads_every_caption_of_a_figure_and_its_licence() -> None:
    (gallery,) = galleries(FIGURES[:20], seed=0)
    read = {pair.caption: pair for pair in read_pairs(render(gallery).encode(), "http://127.0.0.1/gallery/0/1.html", "bot").pairs}
    assert len(read) == 20
    for one in FIGURES[:20]:
        pair = read[one.caption]
        assert (pair.context.title, pair.context.figcaption) == (one.captions.title, one.captions.figcaption)
        assert pair.context.text_before.endswith(one.captions.before)
        assert pair.context.text_after.startswith(f"{one.captions.figcaption} {one.captions.after}")
        assert pair.licence == "Apache-2.0"

"""Tests of the crawl against a real site on loopback: every way an address can end, and what a second run does."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import Manifest
from unclip_pairs.shards import read_shard
from unclip_pairs.store import Store

Answer = tuple[int, dict[str, str], bytes]


def picture(side: int = 64, colour: str = "red", form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side // 2), colour).save(buffer, form)
    return buffer.getvalue()


def html(text: str, **headers: str) -> Answer:
    return 200, {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}, text.encode()


def png(**headers: str) -> Answer:
    return 200, {"Content-Type": "image/png"} | {k.replace("_", "-"): v for k, v in headers.items()}, picture()


def redirect(to: str) -> Answer:
    return 302, {"Location": to}, b""


def slow() -> Answer:
    time.sleep(4)
    return png()


EXPECTED = {
    "/big.png": "ok",
    "/photo.jpg": "ok",
    "/moved.png": "ok",
    "/denied/a.png": "robots_denied",
    "/into-denied.png": "robots_denied",
    "/tagged.png": "opt_out",
    "/reserved.png": "opt_out",
    "/on-noai-page.png": "opt_out",
    "/on-tagged-page.png": "opt_out",
    "/none.png": "http_error",
    "/busy.png": "http_error",
    "/loop.png": "redirect_error",
    "/nowhere.png": "redirect_error",
    "/slow.png": "timeout",
    "/cut.png": "connection_error",
    "/huge.png": "too_large",
    "/lying.png": "too_large",
    "/wide.png": "too_many_pixels",
    "/tiny.png": "too_small",
    "/text.png": "not_an_image",
    "/broken.png": "decode_error",
    "/to-private.png": "private_address",
}
ABROAD = {"http://10.0.0.1/a.png": "private_address", "http://169.254.169.254/latest": "private_address", "ftp://h/a.png": "invalid_url"}
OUTCAST = {"http://no-such-host.invalid/a.png": "dns_error", "http://127.0.0.1:1/a.png": "connection_error"}

ABOUT_ITSELF = ("/robots.txt", "/.well-known/tdmrep.json")
CC_BY = "https://creativecommons.org/licenses/by/4.0/"


def answers() -> dict[str, Answer | Callable[[], Answer]]:
    images = "".join(f'<img src="{url}" alt="about {url}">' for url in EXPECTED if "-page" not in url)
    abroad = "".join(f'<img src="{url}" alt="abroad">' for url in [*ABROAD, *OUTCAST])
    twice = "<img src=/big.png alt='another caption'><img src=/big.png alt='about /big.png'>"
    wide = io.BytesIO()
    Image.new("1", (30_000, 3_000)).save(wide, "PNG")
    return {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /denied/\n"),
        "/": html(f"<link rel=license href='{CC_BY}'>{images}{abroad}<a href=/two.html>2</a><a href=http://10.0.0.1/>x</a>"),
        "/two.html": html(f"{twice}<a href=/noai.html>3</a><a href=/denied/p.html>4</a>"),
        "/noai.html": html("<meta name=robots content=noai><img src=/on-noai-page.png><a href=/tagged.html>5</a>"),
        "/tagged.html": html("<img src=/on-tagged-page.png>", X_Robots_Tag="noimageai"),
        "/denied/p.html": html("<img src=/never.png>"),
        "/big.png": (200, {"Content-Type": "image/png"}, picture(800)),
        "/photo.jpg": (200, {"Content-Type": "image/jpeg"}, picture(100, "blue", "JPEG")),
        "/moved.png": redirect("/photo.jpg"),
        "/denied/a.png": png(),
        "/into-denied.png": redirect("/denied/a.png"),
        "/tagged.png": png(X_Robots_Tag="noai"),
        "/reserved.png": png(tdm_reservation="1"),
        "/on-noai-page.png": png(),
        "/on-tagged-page.png": png(),
        "/busy.png": (503, {}, b""),
        "/loop.png": redirect("/loop.png"),
        "/nowhere.png": (302, {}, b""),
        "/slow.png": slow,
        "/cut.png": (200, {"Content-Length": "5000", "Connection": "close"}, b"\x89PNG"),
        "/huge.png": (200, {}, b"\x89PNG" + bytes(300_000)),
        "/lying.png": (200, {"Content-Length": str(10 * 2**30)}, b"\x89PNG"),
        "/wide.png": (200, {}, wide.getvalue()),
        "/tiny.png": (200, {}, picture(20)),
        "/text.png": (200, {"Content-Type": "image/png"}, b"<html>no picture</html>"),
        "/broken.png": (200, {"Content-Type": "image/png"}, picture(300)[:80]),
        "/to-private.png": redirect("http://192.168.0.1/a.png"),
    }


def settings_of(site: Any, **changes: Any) -> CrawlSettings:
    where = {"batch": "a", "contact": "tests@example.org", "seeds": (site.url + "/",), "allow_loopback": True}
    bounds = {"delay_s": 0, "concurrency_per_host": 16, "max_bytes": 250_000, "timeout_s": 2.0, "retries": 1, "deadline_s": 60.0}
    return CrawlSettings(**where | bounds | changes)


def rows_of(store: Store, batch: str = "a") -> list[dict[str, Any]]:
    return read_table(store.path(f"crawl/{batch}/rows.parquet")).to_pylist()


@pytest.fixture(scope="module")
def site(serve: Callable[..., Any]) -> Any:
    return serve(answers())


@pytest.fixture(scope="module")
def crawled(site: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Manifest, list[tuple[int, int | None, str]]]:
    store, reported = open_store(tmp_path_factory.mktemp("home")), []
    manifest = crawl(store, settings_of(site), lambda *news: reported.append(news))
    return store, manifest, reported


Crawled = tuple[Store, Manifest, list[tuple[int, int | None, str]]]


def test_every_address_ends_as_one_row_with_its_status(crawled: Crawled, site: Any) -> None:
    store, manifest, _ = crawled
    rows = rows_of(store)
    found = {row["url"].removeprefix(site.url): row["status"] for row in rows if row["status"] != "duplicate_url"}
    assert found == EXPECTED | ABROAD | OUTCAST
    assert len({row["key"] for row in rows}) == len(rows) == manifest.counts["rows"]
    assert [row["caption"] for row in rows if row["status"] == "duplicate_url"] == ["another caption"]
    assert all((row["shard"] is None) == (row["status"] != "ok") for row in rows)


def test_robots_and_opt_outs_are_obeyed_before_anything_is_asked_for(crawled: Crawled, site: Any) -> None:
    assert site.asked["/denied/a.png"] == site.asked["/denied/p.html"] == site.asked["/never.png"] == 0
    assert site.asked["/on-noai-page.png"] == site.asked["/on-tagged-page.png"] == 0
    assert site.asked["/robots.txt"] == 1
    assert site.agents == {"unclip-crawler/0.1 (+tests@example.org)"}


def test_what_opted_out_is_nowhere_in_the_store(crawled: Crawled) -> None:
    forbidden = picture()
    for name in crawled[0].names():
        assert forbidden not in crawled[0].read_bytes(name), name


def test_stored_pictures_are_small_pngs_with_caption_licence_and_digest(crawled: Crawled) -> None:
    store, manifest, _ = crawled
    rows = {row["key"]: row for row in rows_of(store) if row["status"] == "ok"}
    samples = list(read_shard(store, "crawl/a/shard-00000"))
    assert {sample["__key__"] for sample in samples} == set(rows)
    for sample in samples:
        row = rows[sample["__key__"]]
        assert Image.open(io.BytesIO(sample["png"])).size == (row["width"], row["height"])
        assert sample["txt"].decode() == row["caption"]
        assert json.loads(sample["json"])["sha256"] == row["sha256"]
        assert row["licence"] == "CC-BY-4.0"
    big = next(row for row in rows.values() if row["url"].endswith("/big.png"))
    assert (big["original_width"], big["original_height"], big["width"], big["height"]) == (800, 400, 256, 128)
    assert manifest.counts["ok"] == 3


def test_pages_are_remembered_with_how_they_ended(crawled: Crawled, site: Any) -> None:
    pages = {row["url"].removeprefix(site.url): row for row in read_table(crawled[0].path("crawl/a/pages.parquet")).to_pylist()}
    assert {path: page["status"] for path, page in pages.items()} == {
        "/": "ok",
        "/two.html": "ok",
        "/noai.html": "ok",
        "/tagged.html": "ok",
        "/denied/p.html": "robots_denied",
    }
    assert pages["/noai.html"]["opt_out"] == "meta robots: noai"


def test_progress_ends_with_everything_settled(crawled: Crawled) -> None:
    _, manifest, reported = crawled
    assert reported[-1][:2] == (manifest.counts["rows"], manifest.counts["rows"])


def test_nothing_of_the_journal_is_left(crawled: Crawled) -> None:
    names = {name.split("/")[2] for name in crawled[0].names("crawl/a/")}
    assert names == {"lock", "manifest.json", "pages.parquet", "rows.parquet", "shard-00000.json", "shard-00000.parquet", "shard-00000.tar"}


def test_a_second_run_fetches_only_what_is_missing(crawled: Crawled, site: Any) -> None:
    store, first, _ = crawled
    asked = site.asked.total()
    assert crawl(store, settings_of(site)) == first
    assert site.asked.total() == asked, "a finished batch asks for nothing"
    before = {row["key"]: row["status"] for row in rows_of(store)}
    store.path("crawl/a/shard-00000.tar").unlink()
    site.asked.clear()
    crawl(store, settings_of(site))
    assert set(site.asked) == {*ABOUT_ITSELF, "/big.png", "/photo.jpg", "/moved.png"}
    assert {row["key"]: row["status"] for row in rows_of(store)} == before


def test_failures_that_may_pass_are_retried_when_asked(crawled: Crawled, site: Any) -> None:
    store = crawled[0]
    site.answers["/busy.png"] = png()
    site.asked.clear()
    manifest = crawl(store, settings_of(site, retry_failed=True))
    assert set(site.asked) <= {*ABOUT_ITSELF, "/busy.png", "/slow.png", "/cut.png"}
    assert {row["url"].removeprefix(site.url): row["status"] for row in rows_of(store)}["/busy.png"] == "ok"
    assert manifest.counts["ok"] == 4


def test_loopback_is_refused_unless_allowed(site: Any, tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    urls = [
        f"http://localhost:{site.server.server_port}/big.png",
        f"{site.url}/big.png",
        f"http://2130706433:{site.server.server_port}/big.png",
    ]
    (tmp_path / "l.csv").write_text("url,caption\n" + "".join(f"{url},x\n" for url in urls))
    site.asked.clear()
    crawl(store, settings_of(site, seeds=(), lists=(str(tmp_path / "l.csv"),), allow_loopback=False, delay_s=0.1, retries=0))
    assert [row["status"] for row in rows_of(store)] == ["private_address"] * 3
    assert site.asked.total() == 0


def test_lists_and_folders_are_read_and_a_broken_list_is_named_before_anything_is_fetched(site: Any, tmp_path: Path) -> None:
    store, folder = open_store(tmp_path / "home"), tmp_path / "mine"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(90))
    (folder / "a.txt").write_text("mine")
    (folder / "b.png").write_bytes(b"no picture")
    listed = tmp_path / "l.jsonl"
    listed.write_text(json.dumps({"url": site.url + "/photo.jpg", "caption": "listed"}) + '\n{"url": "", "caption": "none"}\n{"url":')
    both = settings_of(site, seeds=(), lists=(str(listed),), folders=(str(folder),))
    with pytest.raises(UserError, match=r"l\.jsonl, line 3"):
        crawl(store, both)
    assert store.names() == []
    listed.write_text(listed.read_text().rpartition("\n")[0] + "\n")
    crawl(store, both)
    assert {(row["url"].rpartition("/")[2], row["caption"], row["status"]) for row in rows_of(store)} == {
        ("photo.jpg", "listed", "ok"),
        ("", "none", "invalid_url"),
        ("a.png", "mine", "ok"),
        ("b.png", "", "not_an_image"),
    }

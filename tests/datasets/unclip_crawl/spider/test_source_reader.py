"""Tests of the crawl's long sources against a real site on loopback: archives, sitemaps, and shards that other tools wrote."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin
from pyarrow.parquet import read_table, write_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.home import open_store
from unclip_pairs.store import Store
from unclip_pairs.takedowns import Takedown, record

Answer = tuple[int, dict[str, str], bytes]
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
 xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" %s/></rdf:RDF></x:xmpmeta>"""
RESERVED = XMP % 'plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-GENAIMLTRAINING"'
LICENSED = XMP % 'xmpRights:WebStatement="https://creativecommons.org/licenses/by-sa/4.0/"'


def picture(colour: str = "red", xmp: str = "", side: int = 64) -> bytes:
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp)
    Image.new("RGB", (side, side // 2), colour).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def png(data: bytes) -> Answer:
    return 200, {"Content-Type": "image/png"}, data


def html(text: str) -> Answer:
    return 200, {"Content-Type": "text/html; charset=utf-8"}, text.encode()


def settings_of(**more: Any) -> CrawlSettings:
    known = {"batch": "a", "contact": "t@example.org", "allow_loopback": True, "delay_s": 0, "timeout_s": 3, "retries": 0, "flush_s": 0.1}
    return CrawlSettings(**(known | more))


def rows(store: Store) -> dict[str, dict[str, Any]]:
    """The crawl's rows by the last part of their address."""
    return {row["url"].rpartition("/")[2]: row for row in read_table(store.path("crawl/a/rows.parquet")).to_pylist()}


def pages(store: Store) -> dict[str, dict[str, Any]]:
    return {row["url"].rpartition("/")[2]: row for row in read_table(store.path("crawl/a/pages.parquet")).to_pylist()}


@pytest.fixture
def archive(tmp_path: Path, warc_record: Callable[..., bytes]) -> Callable[..., str]:
    """Writes pages, each an address, its HTML and further headers, into a WARC with a gzip member per record."""

    def written(*pages: tuple[str, str, dict[str, str]]) -> str:
        records = (warc_record(url, text.encode(), [("Content-Type", "text/html"), *more.items()]) for url, text, more in pages)
        (tmp_path / "a.warc.gz").write_bytes(b"".join(map(gzip.compress, records)))
        return str(tmp_path / "a.warc.gz")

    return written


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


def test_the_pictures_of_an_archive_are_fetched_with_all_that_their_pages_said(
    store: Store, archive: Callable[..., str], serve: Callable[..., Any]
) -> None:
    site = serve({f"/{name}.png": png(picture(name)) for name in ("red", "blue", "green")} | {"/robots.txt": (200, {}, b"")})
    page = "<html lang=de-AT><p>Vor dem Bild <img src='/red.png' alt='ein Ball'> nach dem Bild <figure><img src=/blue.png><figcaption>B"
    file = archive(
        (f"{site.url}/1.html", page, {}),
        (f"{site.url}/2.html", "<img src=/green.png alt=no>", {"X-Robots-Tag": "noai"}),
    )
    crawl(store, settings_of(archives=[file]))
    found = rows(store)
    assert {name: row["status"] for name, row in found.items()} == {"red.png": "ok", "blue.png": "ok", "green.png": "opt_out"}
    assert found["red.png"]["language"] == "de-AT"
    assert (found["red.png"]["text_before"], found["red.png"]["alt"]) == ("Vor dem Bild", "ein Ball")
    assert found["blue.png"]["figcaption"] == found["blue.png"]["caption"] == "B"
    assert found["green.png"]["detail"] == "X-Robots-Tag: noai"
    assert "/green.png" not in site.asked
    assert pages(store)["a.warc.gz"]["pictures"] == 3
    asked = sum(site.asked.values())
    crawl(store, settings_of(archives=[file]))
    assert sum(site.asked.values()) == asked


def test_what_a_damaged_archive_still_holds_is_fetched_and_the_damage_is_named(
    store: Store, archive: Callable[..., str], serve: Callable[..., Any]
) -> None:
    site = serve({"/red.png": png(picture()), "/robots.txt": (404, {}, b"")})
    file = archive(*((f"{site.url}/{n}.html", f"<img src=/red.png alt={n}>" * 2, {}) for n in range(2)))
    Path(file).write_bytes(Path(file).read_bytes()[:-30])
    crawl(store, settings_of(archives=[file]))
    assert rows(store)["red.png"]["status"] in ("ok", "duplicate_url")
    assert "truncated" in pages(store)["a.warc.gz"]["detail"]


@pytest.mark.slow
def test_an_archive_that_cannot_be_had_is_read_when_what_failed_is_tried_again(
    store: Store, archive: Callable[..., str], serve: Callable[..., Any]
) -> None:
    site = serve({"/red.png": png(picture()), "/robots.txt": (404, {}, b"")})
    body = Path(archive((f"{site.url}/1.html", "<img src=/red.png alt=a>", {}))).read_bytes()
    address = f"{site.url}/a.warc.gz"
    crawl(store, settings_of(archives=[address]))
    assert (pages(store)["a.warc.gz"]["status"], len(rows(store))) == ("http_error", 0)
    assert "HTTP 404" in pages(store)["a.warc.gz"]["detail"]
    site.answers["/a.warc.gz"] = (200, {}, body)
    crawl(store, settings_of(archives=[address], batch="b"))
    assert read_table(store.path("crawl/b/rows.parquet"))["status"].to_pylist() == ["ok"]


SITEMAP = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
 xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">%s</urlset>"""


def entry(page: str, image: str = "", caption: str = "", licence: str = "") -> str:
    children = f"<image:caption>{caption}</image:caption><image:license>{licence}</image:license>"
    return f"<url><loc>{page}</loc>" + (f"<image:image><image:loc>{image}</image:loc>{children}</image:image>" if image else "") + "</url>"


def test_sitemaps_named_by_robots_txt_lead_to_pages_and_pictures_and_opt_outs_hold(store: Store, serve: Callable[..., Any]) -> None:
    site = serve({f"/{name}.png": png(picture(name)) for name in ("red", "blue", "green", "black", "gold")})
    cc0 = "https://creativecommons.org/publicdomain/zero/1.0/"
    entries = entry(f"{site.url}/1.html", f"{site.url}/red.png", "a red ball", cc0) + entry(f"{site.url}/2.html", f"{site.url}/blue.png")
    entries += entry(f"{site.url}/gone.html", f"{site.url}/black.png") + entry("http://elsewhere.invalid/x.html", f"{site.url}/gold.png")
    index = f"<sitemapindex><sitemap><loc>{site.url}/maps/one.xml.gz</loc></sitemap></sitemapindex>"
    site.answers |= {
        "/robots.txt": (200, {}, f"User-agent: *\nDisallow: /secret/\nSitemap: {site.url}/maps/index.xml\n".encode()),
        "/maps/index.xml": (200, {"X-Robots-Tag": "noindex"}, index.encode()),
        "/maps/one.xml.gz": (200, {"Content-Type": "application/gzip"}, gzip.compress((SITEMAP % entries).encode())),
        "/1.html": html("<img src=/green.png alt='on the page'>"),
        "/2.html": html("<meta name=robots content=noimageai><p>no"),
    }
    site.answers["/odd.xml"] = (200, {}, b"<html><p>no map")
    crawl(store, settings_of(sitemaps=[f"{site.url}/robots.txt", f"{site.url}/none.xml", f"{site.url}/odd.xml"]))
    found = {name: row["status"] for name, row in rows(store).items()}
    assert found == {"red.png": "ok", "green.png": "ok", "blue.png": "opt_out", "black.png": "http_error"}
    assert (rows(store)["red.png"]["caption"], rows(store)["red.png"]["licence"]) == ("a red ball", "CC0-1.0")
    assert not {"/blue.png", "/black.png", "/gold.png"} & set(site.asked)
    assert "4 pages" in pages(store)["one.xml.gz"]["detail"]
    assert pages(store)["none.xml"]["status"] == "http_error"
    assert "no entries" in pages(store)["odd.xml"]["detail"]


def shard(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(path)


def test_shards_of_img2dataset_are_taken_over_with_their_failures_and_within_bounds(store: Store, tmp_path: Path) -> None:
    def sidecar(name: str, **more: Any) -> bytes:
        return json.dumps({"url": f"http://h.example/{name}.png", "caption": f"a {name} one", "original_width": 900, **more}).encode()

    record(store, Takedown(kind="url", value="http://h.example/gold.png", urls=("http://h.example/gold.png",)))
    members = {
        "0.png": picture("red"),
        "0.txt": b"a red one",
        "0.json": sidecar("red", original_height=450, license="MIT"),
        "1.png": picture("blue", RESERVED),
        "1.json": sidecar("blue"),
        "2.png": picture("green", LICENSED),
        "2.json": sidecar("green"),
        "3.png": picture("gold"),
        "3.json": sidecar("gold"),
        "4.jpg": b"not a picture",
        "4.json": sidecar("broken"),
        "5.png": b"\0" * 40_000,
        "5.json": sidecar("long"),
        "6.png": picture("black"),
        "6.txt": b"only a text",
        "../7.png": picture("white"),
        "8.pickle": b"cos\nsystem\n(S'true'\ntR.",
    }
    failed = [
        {"key": "9", "url": "http://h.example/gone.png", "caption": "g", "status": "failed_to_download", "error_message": "HTTP Error 404"},
        {
            "key": "10",
            "url": "http://h.example/no.png",
            "caption": "n",
            "status": "failed_to_download",
            "error_message": "X-Robots-Tag noai",
        },
    ]
    write_table(pa.Table.from_pylist(failed), tmp_path / "00000.parquet")
    crawl(store, settings_of(shards=[shard(tmp_path / "00000.tar", members)], max_bytes=20_000))
    found = rows(store)
    assert {name: row["status"] for name, row in found.items()} == {
        "red.png": "ok",
        "blue.png": "opt_out",
        "green.png": "ok",
        "gold.png": "taken_down",
        "broken.png": "not_an_image",
        "long.png": "too_large",
        "6.png": "ok",
        "gone.png": "http_error",
        "no.png": "opt_out",
    }
    assert (found["red.png"]["original_width"], found["red.png"]["licence"], found["6.png"]["caption"]) == (900, "MIT", "only a text")
    assert found["green.png"]["licence"] == "CC-BY-SA-4.0"
    assert json.loads(found["green.png"]["rights"])["web_statement"].endswith("by-sa/4.0/")
    assert "DMI-PROHIBITED-GENAIMLTRAINING" in found["blue.png"]["detail"]
    assert "unsafe_member 1" in pages(store)["00000.tar"]["detail"]

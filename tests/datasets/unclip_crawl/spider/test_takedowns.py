"""Tests of that nothing taken down is asked for again: by its address, by its host, through a redirect, or as the same bytes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_curation.decisions.takedown_effects import meant_by
from unclip_pairs.home import open_store
from unclip_pairs.takedowns import record


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_second_crawl_never_asks_for_what_was_taken_down(serve: Callable[..., Any], tmp_path: Path) -> None:
    images = {f"/{colour}.png": (200, {"Content-Type": "image/png"}, picture(colour)) for colour in ("red", "green", "blue", "grey")}
    copy = {"/copy.png": images["/blue.png"], "/leads.png": (302, {"Location": "/red.png"}, b"")}
    names = [*images, *copy]
    page = "".join(f'<img src="{name}" alt="a picture of {name}">' for name in names).encode()
    site = serve({"/": (200, {"Content-Type": "text/html"}, page), **images, **copy})
    store = open_store(tmp_path / "home")

    def crawled(batch: str) -> dict[str, str]:
        site.asked.clear()
        crawl(store, CrawlSettings(batch=batch, contact="me@example.org", seeds=(f"{site.url}/",), allow_loopback=True, delay_s=0.0))
        rows = read_table(store.path(f"crawl/{batch}/rows.parquet")).to_pylist()
        return {row["url"].removeprefix(site.url): row["status"] for row in rows}

    assert set(crawled("a").values()) == {"ok"}
    record(store, meant_by(store, "url", f"{site.url}/red.png"))
    record(store, meant_by(store, "hash", next(row["sha256"] for row in rows_of(store, "a") if row["url"].endswith("/green.png"))))
    found = crawled("b")
    assert found == dict.fromkeys(names, "ok") | {"/red.png": "taken_down", "/green.png": "taken_down", "/leads.png": "taken_down"}
    assert site.asked["/red.png"] == site.asked["/green.png"] == 0
    blue = next(row["sha256"] for row in rows_of(store, "a") if row["url"].endswith("/blue.png"))
    record(open_store(tmp_path / "other"), meant_by(store, "hash", blue))
    crawl(
        open_store(tmp_path / "other"),
        CrawlSettings(batch="c", contact="me@example.org", seeds=(f"{site.url}/",), allow_loopback=True, delay_s=0.0),
    )
    rows = rows_of(open_store(tmp_path / "other"), "c")
    assert {row["url"].removeprefix(site.url) for row in rows if row["status"] == "taken_down"} == {"/blue.png", "/copy.png"}
    record(store, meant_by(store, "host", "127.0.0.1"))
    site.asked.clear()
    crawl(store, CrawlSettings(batch="d", contact="me@example.org", seeds=(f"{site.url}/",), allow_loopback=True, delay_s=0.0))
    assert not site.asked, "not even the page, nor robots.txt"


def rows_of(store: Any, batch: str) -> list[dict[str, Any]]:
    return read_table(store.path(f"crawl/{batch}/rows.parquet")).to_pylist()

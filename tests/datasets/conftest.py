"""Small true things for the tests of the data shelf: drawn shapes, and crawl batches that hold them."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA, pair_key
from unclip_pairs.shards import write_parquet, write_shard
from unclip_pairs.store import Store

COLOURS = {"red": (214, 40, 40), "blue": (30, 80, 200), "green": (40, 150, 60), "yellow": (240, 200, 40), "black": (30, 30, 30)}
SHAPES = ("circle", "square", "triangle", "cross")


def draw_shape(shape: str, colour: str, seed: int = 0, side: int = 64) -> Image.Image:
    """A coloured shape on white; `seed` moves it a little and speckles it."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), "white")
    pen, (dx, dy) = ImageDraw.Draw(image), rng.integers(-side // 12, side // 12 + 1, 2)
    box = (side // 5 + dx, side // 5 + dy, side * 4 // 5 + dx, side * 4 // 5 + dy)
    match shape:
        case "circle":
            pen.ellipse(box, fill=COLOURS[colour])
        case "square":
            pen.rectangle(box, fill=COLOURS[colour])
        case "triangle":
            pen.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=COLOURS[colour])
        case _:
            pen.rectangle((box[0], side // 2 - 5 + dy, box[2], side // 2 + 5 + dy), fill=COLOURS[colour])
            pen.rectangle((side // 2 - 5 + dx, box[1], side // 2 + 5 + dx, box[3]), fill=COLOURS[colour])
    for x, y, size in rng.integers(0, side - 8, (10, 3)) % np.array([side - 8, side - 8, 8]):
        pen.rectangle((x, y, x + size, y + size), fill=tuple(int(value) for value in rng.integers(0, 256, 3)))
    return image


Row = dict[str, Any]
# a row is a picture that was stored, or a status; what a test does not say is this
PLAIN: Row = {
    "caption": "",
    "image": None,
    "data": None,
    "status": "ok",
    "page": "http://a.test/1.html",
    "licence": "CC0-1.0",
    "url": "",
    "original_side": 0,
    **dict.fromkeys(("alt", "title", "figcaption", "text_before", "text_after")),
}


def shape_rows(count: int, per_page: int = 10) -> list[Row]:
    """`count` shapes with true captions, `per_page` to a page."""
    kinds = itertools.cycle(itertools.product(SHAPES, COLOURS))
    rows: list[Row] = []
    for number, (shape, colour) in zip(range(count), kinds, strict=False):
        page = f"http://a.test/{number // per_page}.html"
        rows.append({"caption": f"drawing {number} of a {colour} {shape}", "image": draw_shape(shape, colour, number), "page": page})
    return rows


def write_crawl(store: Store, rows: Sequence[Row], batch: str = "a") -> list[str]:
    """A finished crawl batch as the crawler leaves it; gives the keys of the rows in their order."""
    table: list[Row] = []
    samples: list[Row] = []
    for number, row in enumerate(PLAIN | given for given in rows):
        url, image, stored = row["url"] or f"http://a.test/{batch}/{number}.png", row["image"], row["status"] == "ok"
        key, data = pair_key(url, row["caption"]), row["data"] or (encode_png(image) if image else b"")
        facts = {"key": key, "url": url, "page_url": row["page"], "host": "a.test", "fetched_at": "2026-11-22T00:00:00+00:00"}
        facts |= {name: row[name] for name in ("caption", "licence", "status", "alt", "title", "figcaption", "text_before", "text_after")}
        if stored:
            samples.append({"__key__": key, "png": data, "txt": row["caption"].encode(), "json": b"{}"})
            side = row["original_side"] or (image.width if image else 64)
            sizes = dict.fromkeys(("original_width", "original_height", "width", "height"), side)
            facts |= sizes | {"sha256": hashlib.sha256(data).hexdigest(), "shard": f"crawl/{batch}/shard-00000"}
        table.append(facts)
    everything = pa.Table.from_pylist(table, schema=CRAWL_SCHEMA)
    write_shard(store, f"crawl/{batch}/shard-00000", samples, everything.filter(pa.array([row["status"] == "ok" for row in table])))
    write_parquet(store, f"crawl/{batch}/rows.parquet", everything)
    files = [f"crawl/{batch}/rows.parquet", f"crawl/{batch}/shard-00000.json"]
    write_manifest(store, f"crawl/{batch}/manifest.json", make_manifest(store, "crawl", files))
    return [row["key"] for row in table]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


@pytest.fixture
def crawl_batch(store: Store) -> Callable[..., list[str]]:
    """`crawl_batch(rows, batch="a")` writes a finished crawl batch into `store` and gives the keys; rows are filled up from `PLAIN`."""
    return lambda rows, batch="a": write_crawl(store, rows, batch)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Image.Image]:
    """`draw(shape, colour, seed=0, side=64)`."""
    return draw_shape


@pytest.fixture(scope="session")
def crawl_into() -> Callable[..., list[str]]:
    """`crawl_into(store, rows, batch="a")`: as `crawl_batch`, into any store."""
    return write_crawl


@pytest.fixture(scope="session")
def shapes() -> Callable[..., list[Row]]:
    """`shapes(count, per_page=10)` gives rows of drawn shapes with true captions."""
    return shape_rows

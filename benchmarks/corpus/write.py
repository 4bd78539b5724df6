"""This program writes the corpus that benchmarks score and embed: a finished crawl batch `a`, drawn or taken from a home.

Drawn pictures are 256 pixels wide, PNG, with shapes, gradients and grain, so that they cost as much to decode as real ones; captions
have about ten words.
"""

import argparse
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFilter
from pyarrow.parquet import read_table

from unclip_curation.features import batches
from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA, pair_key
from unclip_pairs.shards import read_shard, shard_names, write_parquet, write_shard
from unclip_pairs.store import Store

COLOURS = {"red": (214, 40, 40), "blue": (30, 80, 200), "green": (40, 150, 60), "yellow": (240, 200, 40), "black": (30, 30, 30)}
PLACES = ("on a table", "in a garden", "under a tree", "before a wall")
Row = dict[str, Any]


def drawn(seed: int, side: int = 256) -> tuple[Image.Image, str]:
    """A picture and its caption."""
    rng = np.random.default_rng(seed)
    ground = np.linspace(rng.integers(120, 255, 3), rng.integers(120, 255, 3), side)[:, None] + rng.normal(0, 4, (side, side, 1))
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    pen, words = ImageDraw.Draw(image), list[str]()
    for x, y, size in rng.integers(20, 120, (3, 3)):
        name = list(COLOURS)[rng.integers(len(COLOURS))]
        shape = ("circle", "square")[rng.integers(2)]
        (pen.ellipse if shape == "circle" else pen.rectangle)((int(x), int(y), int(x + size), int(y + size)), fill=COLOURS[name])
        words.append(f"a {name} {shape}")
    caption = f"{', '.join(words)} {PLACES[seed % len(PLACES)]}, number {seed}"
    return image.filter(ImageFilter.SMOOTH), caption


def drawn_rows(count: int) -> Iterator[Row]:
    """Samples with their crawl row under "row"."""
    for seed in range(count):
        image, caption = drawn(seed)
        yield sample(f"http://a.test/{seed}.png", caption, encode_png(image, 1), image.size)


def home_rows(home: Store, count: int) -> Iterator[Row]:
    """The first stored pairs of the home's first crawl batch."""
    batch = batches(home)[0]
    samples = itertools.chain.from_iterable(read_shard(home, name) for name in shard_names(home, f"crawl/{batch}/shard-"))
    rows = {row["key"]: row for row in read_table(home.path(f"crawl/{batch}/rows.parquet")).to_pylist()}
    for found in itertools.islice(samples, count):
        yield found | {"row": rows[found["__key__"]]}


def sample(url: str, caption: str, data: bytes, size: tuple[int, int]) -> Row:
    key = pair_key(url, caption)
    facts = {
        "key": key,
        "url": url,
        "page_url": "http://a.test/",
        "host": "a.test",
        "caption": caption,
        "licence": "CC0-1.0",
        "status": "ok",
    }
    facts |= {"original_width": size[0], "original_height": size[1], "width": size[0], "height": size[1]}
    facts |= {"sha256": hashlib.sha256(data).hexdigest(), "fetched_at": "2026-11-22T00:00:00+00:00"}
    return {"__key__": key, "png": data, "txt": caption.encode(), "json": b"{}", "row": facts}


def write(store: Store, samples: list[Row], shards: int) -> None:
    """A finished crawl batch `a` in so many shards."""
    tables = [write_one(store, number, samples[number::shards]) for number in range(shards)]
    write_parquet(store, "crawl/a/rows.parquet", pa.concat_tables(tables))
    files = ["crawl/a/rows.parquet", *(f"crawl/a/shard-{number:05d}.json" for number in range(shards))]
    write_manifest(store, "crawl/a/manifest.json", make_manifest(store, "crawl", files))


def write_one(store: Store, number: int, samples: list[Row]) -> pa.Table:
    name = f"crawl/a/shard-{number:05d}"
    rows = pa.Table.from_pylist([sample.pop("row") | {"shard": name} for sample in samples], schema=CRAWL_SCHEMA)
    write_shard(store, name, samples, rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    samples = list(home_rows(open_store(options.home), options.rows) if options.home else drawn_rows(options.rows))
    write(open_store(options.folder), samples, options.shards)
    print(len(samples))


if __name__ == "__main__":
    main()

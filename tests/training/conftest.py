"""Published dataset of thirty-two drawn shapes, small enough for every test of the training shelf."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import pair_key
from unclip_pairs.shards import write_parquet, write_shard
from unclip_pairs.store import Store

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests share two cores

SHAPES = ("circle", "square", "cross", "bar", "ring", "corner", "wedge", "dots")
STYLES = {"red": (220, 30, 30), "green": (20, 160, 60), "blue": (30, 60, 220), "grey": (120, 120, 120)}
SIDE, DIM = 128, 16
EVERYTHING = slice(None)


def draw(shape: str, colour: tuple[int, int, int]) -> Image.Image:
    """A shape on white, 128 px."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    match shape:
        case "circle":
            pen.ellipse((20, 20, 108, 108), colour)
        case "square":
            pen.rectangle((24, 24, 104, 104), colour)
        case "cross":
            pen.rectangle((52, 10, 76, 118), colour)
            pen.rectangle((10, 52, 118, 76), colour)
        case "bar":
            pen.rectangle((8, 48, 120, 80), colour)
        case "ring":
            pen.ellipse((16, 16, 112, 112), None, colour, 14)
        case "corner":
            pen.rectangle((0, 0, 64, 64), colour)
        case "wedge":
            pen.polygon([(10, 118), (118, 118), (64, 10)], colour)
        case _:
            for x in (20, 60, 100):
                pen.ellipse((x - 12, 52, x + 12, 76), colour)
    return image


def npy(vector: NDArray[np.floating[Any]]) -> bytes:
    """The bytes of a `.npy`."""
    buffer = io.BytesIO()
    np.save(buffer, vector.astype(np.float32), allow_pickle=False)
    return buffer.getvalue()


def unit(vector: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return vector / np.linalg.norm(vector)


def shape_pairs() -> list[dict[str, object]]:
    """One sample and its row for each shape in each colour; embeddings tell shapes and colours apart."""
    axes = np.random.default_rng(0).standard_normal((12, DIM))
    pairs: list[dict[str, object]] = []
    for s, shape in enumerate(SHAPES):
        for c, (style, colour) in enumerate(STYLES.items()):
            caption = f"a {style} {shape}"
            key = pair_key(f"https://shapes.example/{style}/{shape}.png", caption)
            vector = unit(axes[s] + axes[8 + c])
            sample = {"__key__": key, "png": encode_png(draw(shape, colour)), "txt": caption.encode()}
            sample |= {"clip_image.npy": npy(vector), "clip_text.npy": npy(vector)}
            row = {"key": key, "caption": caption, "weight": 1.0, "concept": shape, "style": style}
            pairs.append({"sample": sample, "row": row})
    return pairs


def publish(store: Store, version: str, shards: int = 1, validation: int = 0, chosen: slice = EVERYTHING) -> None:
    """A dataset version as curation publishes it: one held-out combination, so many pairs for validation, the rest for training."""
    pairs = shape_pairs()[chosen]
    held_out, train = pairs[5:6], pairs[:5] + pairs[6:]
    validated, train = train[1::4][:validation], [pair for pair in train if pair not in train[1::4][:validation]]
    names = [_shard(store, f"datasets/{version}/validation-00000", validated)] if validated else []
    for i in range(shards):
        names.append(_shard(store, f"datasets/{version}/train-{i:05d}", train[i::shards]))
    names.append(_shard(store, f"datasets/{version}/held_out-00000", held_out))
    write_manifest(
        store,
        f"datasets/{version}/manifest.json",
        make_manifest(store, "dataset", [f"{name}.tar" for name in names], settings={"version": version}),
    )


def _shard(store: Store, name: str, pairs: list[dict[str, object]]) -> str:
    rows = pa.Table.from_pylist([pair["row"] for pair in pairs])
    write_shard(store, name, [pair["sample"] for pair in pairs], rows)  # type: ignore[misc]
    return name


def crawl(store: Store) -> list[str]:
    """The same pairs as a crawl left them, all kept by the safety verdict but the first two; gives all keys."""
    pairs = shape_pairs()
    samples = [{name: value for name, value in pair["sample"].items() if not name.endswith("npy")} for pair in pairs]  # type: ignore[attr-defined]
    keys = [str(sample["__key__"]) for sample in samples]
    write_shard(store, "crawl/first/shard-00000", samples, pa.table({"key": keys}))
    write_parquet(store, "verdicts/safety.parquet", pa.table({"key": keys, "keep": [i >= 2 for i in range(len(keys))]}))
    write_manifest(store, "verdicts/safety.json", make_manifest(store, "verdicts", ["verdicts/safety.parquet"]))
    return keys


@pytest.fixture
def shapes(tmp_path: Path) -> Store:
    """A store with the published version `v-shapes` in one shard."""
    store = open_store(tmp_path / "home")
    publish(store, "v-shapes")
    return store


@pytest.fixture
def validated(tmp_path: Path) -> Store:
    """The same with six pairs for validation."""
    store = open_store(tmp_path / "home")
    publish(store, "v-shapes", validation=6)
    return store


@pytest.fixture
def two_versions(tmp_path: Path) -> Store:
    """A store with two versions that share no pair: `v-shapes` with four shapes, `v-new` with four others, four pairs for validation."""
    store = open_store(tmp_path / "home")
    publish(store, "v-shapes", chosen=slice(16))
    publish(store, "v-new", validation=4, chosen=slice(16, 32))
    return store


@pytest.fixture
def many_shards(tmp_path: Path) -> Store:
    """The same in four shards."""
    store = open_store(tmp_path / "home")
    publish(store, "v-shapes", shards=4)
    return store


@pytest.fixture
def crawled(tmp_path: Path) -> Store:
    """A store with a crawl and its safety verdicts, nothing published."""
    store = open_store(tmp_path / "home")
    crawl(store)
    return store

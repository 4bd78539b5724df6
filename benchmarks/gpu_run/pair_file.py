"""File of pairs that travels to a GPU: pictures as WebP, all captions, splits and prompts in one `.npz` without a pickle in it."""

import io
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.images import decode, fit_square
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.shards import read_shard, shard_names, write_shard
from unclip_pairs.store import Store
from unclip_training.data.pair_source import read_captions

SPLITS = ("train", "validation", "held_out")
LABELS = ("concept", "style", "scene", "held_out", "weight")
SIDES_AND_QUALITIES = ((256, 92), (256, 80), (256, 65), (256, 50), (128, 80), (128, 50))
MEASURED = 200  # pictures whose size tells that of all
Vectors = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Embeddings of picture and best caption, by key."""


@dataclass(frozen=True)
class Pairs:
    """Pairs as they travel: for each a row (`key`, `split`, `captions` best first, and its labels) and its picture's WebP bytes."""

    rows: list[dict[str, JsonValue]]
    pictures: list[bytes]
    prompts: dict[str, list[str]]

    def of(self, split: str) -> Iterator[tuple[dict[str, JsonValue], bytes]]:
        """Rows and pictures of a split."""
        return ((row, picture) for row, picture in zip(self.rows, self.pictures, strict=True) if row["split"] == split)

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        offsets = np.cumsum([0, *(len(picture) for picture in self.pictures)], dtype=np.int64)
        texts = {"rows": self.rows, "prompts": self.prompts}
        blobs = {name: np.frombuffer(json.dumps(value).encode(), np.uint8) for name, value in texts.items()}
        unfinished = path.with_name(f".part-{path.name}.npz")
        np.savez(unfinished, pictures=np.frombuffer(b"".join(self.pictures), np.uint8), offsets=offsets, **blobs)
        unfinished.replace(path)


def read_pairs(path: Path) -> Pairs:
    """What `Pairs.save` wrote; `UserError` when the file is missing or another."""
    try:
        with np.load(path, allow_pickle=False) as file:
            data, offsets = file["pictures"].tobytes(), file["offsets"].tolist()
            rows, prompts = (json.loads(file[name].tobytes()) for name in ("rows", "prompts"))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no data file ({error}); make one with `python benchmarks/gpu.py prepare`") from error
    return Pairs(rows, [data[start:end] for start, end in itertools.pairwise(offsets)], prompts)


def prepare(store: Store, version: str, largest: int) -> Pairs:
    """All pairs of a published version, in the largest side and quality at which the pictures stay below `largest` bytes together.

    `UserError` when the version is missing, or too large for any.
    """
    found = [(split, sample) for split in SPLITS for name in _shards(store, version, split) for sample in read_shard(store, name)]
    if not found:
        raise UserError(f"dataset {version!r} is not published in {store}; name one with --dataset")
    labels = _labels(store, version)
    images = [next(bytes(sample[kind]) for kind in ("png", "jpg", "webp") if kind in sample) for _, sample in found]
    side, quality = _fitting(images, largest)
    print(f"figure prepare pairs={len(found)} side={side} quality={quality}", flush=True)
    rows: list[dict[str, JsonValue]] = []
    for split, sample in found:
        key = str(sample["__key__"])
        raw = {name: value for name, value in sample.items() if isinstance(value, bytes)}
        rows.append({"key": key, "split": split, "captions": list(read_captions(raw, key)), **labels.get(key, {})})
    return Pairs(rows, _packed(images, side, quality), _prompts(store, version))


def _shards(store: Store, version: str, split: str) -> list[str]:
    return shard_names(store, f"datasets/{version}/{split}-")


def _labels(store: Store, version: str) -> dict[str, dict[str, JsonValue]]:
    labels: dict[str, dict[str, JsonValue]] = {}
    for split in SPLITS:
        for name in _shards(store, version, split):
            for row in read_table(store.path(f"{name}.parquet")).to_pylist():
                labels[row["key"]] = {name: row[name] for name in LABELS if row.get(name) is not None}
    return labels


def _prompts(store: Store, version: str) -> dict[str, list[str]]:
    """The prompts of every set; none where the version has none."""
    name = f"datasets/{version}/prompts.json"
    sets = store.read_json(name)["sets"] if store.exists(name) else {}
    return {label: [str(one["prompt"]) for one in entries] for label, entries in sets.items()}


def _fitting(images: list[bytes], largest: int) -> tuple[int, int]:
    some = images[:: max(1, len(images) // MEASURED)]
    for side, quality in SIDES_AND_QUALITIES:
        size = sum(map(len, _packed(some, side, quality))) * len(images) / len(some)
        if size < 0.97 * largest:
            return side, quality
    raise UserError(f"{len(images)} pictures do not fit into {largest / 1e6:.0f} MB; raise --megabytes, or publish fewer")


def _packed(images: list[bytes], side: int, quality: int) -> list[bytes]:
    def pack(data: bytes) -> bytes:
        buffer = io.BytesIO()
        fit_square(decode(data), side).save(buffer, "WEBP", quality=quality, method=4)
        return buffer.getvalue()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(pack, images))


def publish(pairs: Pairs, store: Store, version: str, vectors: Vectors | None = None) -> None:
    """Writes the pairs as a dataset version of `store`, with the embeddings where they are there."""
    names: list[str] = []
    for split in SPLITS:
        chosen = list(pairs.of(split))
        if chosen:
            names.append(f"datasets/{version}/{split}-00000")
            table = pa.Table.from_pylist([{"key": row["key"], "weight": row.get("weight", 1.0)} for row, _ in chosen])
            write_shard(store, names[-1], [_sample(row, picture, vectors) for row, picture in chosen], table)
    manifest = make_manifest(store, "dataset", [f"{name}.tar" for name in names], settings={"version": version})
    write_manifest(store, f"datasets/{version}/manifest.json", manifest)


def _sample(row: dict[str, JsonValue], picture: bytes, vectors: Vectors | None) -> dict[str, object]:
    captions, key = row["captions"], str(row["key"])
    assert isinstance(captions, list)
    sample: dict[str, object] = {"__key__": key, "webp": picture, "txt": str(captions[0]).encode()}
    sample["captions.json"] = json.dumps(captions).encode()
    if vectors is not None:
        for name, vector in zip(("clip_image.npy", "clip_text.npy"), vectors[key], strict=True):
            buffer = io.BytesIO()
            np.save(buffer, vector, allow_pickle=False)
            sample[name] = buffer.getvalue()
    return sample


COLOURS = {"red": (220, 30, 30), "green": (20, 160, 60), "blue": (30, 60, 220), "grey": (120, 120, 120)}
FORMS = ("circle", "square", "bar", "ring", "pole", "corner")


def drawn() -> Pairs:
    """Forty-eight drawn shapes, enough for a dry run."""
    rows: list[dict[str, JsonValue]] = []
    pictures: list[bytes] = []
    for number, (form, colour, ground) in enumerate((f, c, g) for f in FORMS for c in COLOURS for g in ("white", "beige")):
        image = Image.new("RGB", (256, 256), ground)
        _draw(ImageDraw.Draw(image), form, COLOURS[colour])
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=80)
        split = "held_out" if number % 16 == 7 else "validation" if number % 8 == 3 else "train"
        captions: list[JsonValue] = [f"a {colour} {form} on {ground}", f"{ground}, and on it a {form} in {colour}"]
        rows.append({"key": f"{number:020x}", "split": split, "captions": captions, "concept": form, "style": colour})
        pictures.append(buffer.getvalue())
    return Pairs(rows, pictures, {"own_words": ["one red circle, please", "a bar that is blue"]})


def _draw(pen: ImageDraw.ImageDraw, form: str, colour: tuple[int, int, int]) -> None:
    match form:
        case "circle":
            pen.ellipse((40, 40, 216, 216), colour)
        case "square":
            pen.rectangle((48, 48, 208, 208), colour)
        case "bar":
            pen.rectangle((16, 96, 240, 160), colour)
        case "ring":
            pen.ellipse((32, 32, 224, 224), None, colour, 28)
        case "pole":
            pen.rectangle((96, 16, 160, 240), colour)
        case _:
            pen.rectangle((0, 0, 128, 128), colour)

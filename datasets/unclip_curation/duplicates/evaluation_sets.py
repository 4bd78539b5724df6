"""Evaluation sets: pictures by name that no training may see, from a folder or from a published dataset.

A set lies in `evaluation_sets/<name>/`: `pictures.parquet` says what tells its pictures apart, `pictures.tar` holds those that came from a
folder, `<digest8>.parquet` their embeddings by one CLIP. A set never changes; another choice of pictures is another name.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.embeddings.embedding import Embedder, column_vectors, squares
from unclip_curation.features import required
from unclip_curation.scorers.pictures import Fingerprint, fingerprint
from unclip_curation.similarity.likeness import FINGERPRINT_SCHEMA
from unclip_curation.similarity.neighbours import normalised
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError, decode, encode_png
from unclip_pairs.limits import MAX_BYTES
from unclip_pairs.manifest import Manifest, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.shards import Sample, picture_bytes, read_shard, shard_names, write_parquet, write_shard
from unclip_pairs.store import Store

FOLDER = "evaluation_sets"
SET_SCHEMA = FINGERPRINT_SCHEMA.append(pa.field("name", pa.string())).append(pa.field("shard", pa.string()))
_BATCH = 64
_SIDE = 256
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}


def set_names(store: Store) -> list[str]:
    """The names of the evaluation sets, sorted."""
    parts = [name.split("/") for name in store.names(f"{FOLDER}/")]
    return sorted(part[1] for part in parts if len(part) == 3 and part[2] == "pictures.json")


def set_manifest(store: Store, name: str) -> Manifest:
    """The manifest of a set; `UserError` when there is none of that name."""
    return required(store, f"{FOLDER}/{name}/pictures.json", f"add it with `unclip leaks add {name}`")


def read_set(store: Store, name: str) -> pa.Table:
    """`SET_SCHEMA`: one row per picture of the set."""
    set_manifest(store, name)
    return read_table(store.path(f"{FOLDER}/{name}/pictures.parquet"), schema=SET_SCHEMA)


def add_folder(store: Store, name: str, folder: Path) -> Manifest:
    """Makes a set of the PNG, JPEG, WebP and GIF files in and under a folder; they are copied into the store, equal files once.

    `UserError` when the name is taken by other pictures, or a file cannot be read: a set must be whole.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} is no folder with PNG, JPEG, WebP or GIF pictures in it; name another folder")
    shard = f"{FOLDER}/{name}/pictures"
    samples, rows = dict[str, Sample](), list[dict[str, object]]()
    for path in files:
        data = _read(path)
        found = _fingerprint(data, str(path))
        key = found["sha256"][:20]
        if key not in samples:
            samples[key] = {"__key__": key, **_sample(data)}
            rows.append({**found, "key": key, "name": str(path.relative_to(folder)), "shard": shard})
    table = pa.Table.from_pylist(rows, schema=SET_SCHEMA)
    inputs = {"pictures": settings_digest(sorted(samples))}
    if _is_there(store, name, inputs):
        return set_manifest(store, name)
    return write_shard(store, shard, samples.values(), table, kind="evaluation_set", inputs=inputs)


def add_dataset(store: Store, name: str, version: str, split: str = "held_out") -> Manifest:
    """Makes a set of a split of a dataset that was published here; its pictures stay where they are. Errors as in `add_folder`."""
    manifest = required(store, f"datasets/{version}/manifest.json", "name a version under datasets/")
    shards = shard_names(store, f"datasets/{version}/{split}-")
    if not shards:
        raise UserError(f"the dataset {version} has no shards of the split {split!r}; choose another --split")
    inputs = {"dataset": manifest.digest, "split": split}
    if _is_there(store, name, inputs):
        return set_manifest(store, name)
    rows = [
        _fingerprint(picture_bytes(sample), shard) | {"key": sample["__key__"], "name": sample["__key__"], "shard": shard}
        for shard in shards
        for sample in read_shard(store, shard)
    ]
    file = f"{FOLDER}/{name}/pictures.parquet"
    write_parquet(store, file, pa.Table.from_pylist(rows, schema=SET_SCHEMA))
    counts = {"rows": len(rows)}
    return write_manifest(
        store, f"{FOLDER}/{name}/pictures.json", make_manifest(store, "evaluation_set", [file], inputs=inputs, counts=counts)
    )


def _is_there(store: Store, name: str, inputs: dict[str, str]) -> bool:
    """Whether the very set is there; `UserError` when another one has the name, or it is no name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"the name {name!r} of an evaluation set must be letters, digits, '-' or '_'; choose another one")
    before = read_manifest(store, f"{FOLDER}/{name}/pictures.json")
    if before is not None and before.inputs != inputs:
        raise UserError(f"the evaluation set {name!r} holds other pictures already, and a set never changes; choose another name")
    return before is not None


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES} bytes; make it smaller or move it out of the folder")
    return path.read_bytes()


def _fingerprint(data: bytes, where: str) -> Fingerprint:
    try:
        return fingerprint(data)
    except DecodeError as error:
        raise UserError(f"{where} cannot be read as a picture ({error}); put it right or move it out of the folder") from error


def _sample(data: bytes) -> dict[str, bytes]:
    """The bytes under the extension of their format; a format that shards do not know becomes PNG."""
    kinds = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
    kind = next((kind for head, kind in kinds.items() if data.startswith(head)), None)
    return {kind: data} if kind else {"png": encode_png(decode(data))}


def set_pictures(store: Store, name: str, keys: set[str] | None = None) -> Iterator[tuple[str, Image.Image]]:
    """(key, picture) of the set, or of those of its `keys`."""
    rows = [row for row in read_set(store, name).select(["key", "shard"]).to_pylist() if keys is None or row["key"] in keys]
    for shard in sorted({row["shard"] for row in rows}):
        for sample in read_shard(store, shard, {row["key"] for row in rows if row["shard"] == shard}):
            yield sample["__key__"], decode(picture_bytes(sample))


def embed_set(store: Store, name: str, embedder: Embedder) -> Manifest:
    """Writes `evaluation_sets/<name>/<digest8>.parquet` (key, clip_image) and its manifest; done once for each embedder."""
    file = f"{FOLDER}/{name}/{embedder.digest[:8]}"
    done = read_manifest(store, f"{file}.json")
    if done is not None:
        return done
    prepare, keys, vectors = squares(_SIDE), list[str](), [np.zeros((0, embedder.dim), dtype=np.float32)]
    waiting = list[NDArray[np.uint8]]()
    for key, image in set_pictures(store, name):
        keys.append(key)
        waiting.append(prepare(image))
        if len(waiting) == _BATCH:
            vectors.append(normalised(embedder.pictures(np.stack(waiting))))
            waiting.clear()
    if waiting:
        vectors.append(normalised(embedder.pictures(np.stack(waiting))))
    flat = pa.array(np.concatenate(vectors).ravel(), pa.float32())
    write_parquet(store, f"{file}.parquet", pa.table({"key": keys, "clip_image": pa.FixedSizeListArray.from_arrays(flat, embedder.dim)}))
    inputs = {"set": set_manifest(store, name).digest, "embedder": embedder.digest}
    return write_manifest(store, f"{file}.json", make_manifest(store, "embeddings", [f"{file}.parquet"], inputs=inputs))


def set_vectors(store: Store, name: str, embeddings: str | None, keys: Sequence[str]) -> NDArray[np.float32] | None:
    """float32 [keys, dim] by the CLIP of that folder name; None when the set was not embedded by it."""
    file = f"{FOLDER}/{name}/{embeddings}.parquet"
    if embeddings is None or not store.exists(f"{FOLDER}/{name}/{embeddings}.json"):
        return None
    table = read_table(store.path(file))
    known = dict(zip(table["key"].to_pylist(), column_vectors(table, "clip_image"), strict=True))
    return np.stack([known[key] for key in keys]).astype(np.float32)

"""This file is the search for duplicates: pairs of kept rows that may show the same picture, with how near they are to each other.

Three ways find candidates: the same bytes or pixels; a PDQ hash (of the picture or of its mirror image) within 31 bits; embeddings that
are near neighbours within k-means cells (SemDeDup, Abbas et al. 2023), over several clusterings, because a cell's border separates
neighbours. A hash sees brightness only, so a red heart and a blue one are alike to it; a 16 x 16 grid of colours tells them apart. What
counts as a duplicate is then the policy's decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.columns import CANDIDATE_SCHEMA
from unclip_curation.embed import column_vectors
from unclip_curation.hashes import GRID, MAX_RADIUS, hamming, stacked, within
from unclip_curation.neighbours import close_pairs
from unclip_curation.scoring import batches, kept_keys, required, write_features
from unclip_curation.tables import embedding_files
from unclip_pairs.manifest import Manifest, is_done
from unclip_pairs.store import Store

VERSION = 3
MIN_COSINE = 0.95
MAX_SEMANTIC_PDQ = 112  # bits; two unrelated pictures are about 128 apart
_BLOCK = 50_000
Rows = NDArray[np.int64]
NO_PAIRS, NO_COSINES = np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Pictures:
    """Rows with what tells them apart; row i of every field is the same picture."""

    keys: list[str]
    bytes_sha256: list[str]
    pixels_sha256: list[str]
    hashes: NDArray[np.uint8]
    mirrored: NDArray[np.uint8]
    quality: NDArray[np.int64]
    grids: NDArray[np.uint8]


def find_duplicates(store: Store, embeddings: str | None = None, seed: int = 0) -> Manifest:
    """Writes `features/duplicates.parquet` (`CANDIDATE_SCHEMA`): pairs of rows that the safety stage keeps and
    that are at least as near as any sensible policy asks.

    `embeddings` is the folder under `embeddings/` whose CLIP picture embeddings are compared; None leaves the semantic search out.
    """
    inputs = {"safety": required(store, "verdicts/safety.json", "decide the stage 'safety' first").digest}
    files = embedding_files(store, embeddings)
    inputs |= {file: required(store, f"{file.removesuffix('.parquet')}.json", "embed the pairs first").digest for file in files}
    settings = {"scorer": "duplicates", "version": VERSION, "min_cosine": MIN_COSINE, "max_pdq": MAX_SEMANTIC_PDQ, "seed": seed}
    if is_done(store, "features/duplicates.json", inputs, settings):
        return required(store, "features/duplicates.json", "search again")
    pictures = _read_pictures(store, kept_keys(store, "safety"))
    vectors = _read_embeddings(store, files, pictures.keys) if files else np.zeros((0, 1), dtype=np.float32)
    return write_features(store, "duplicates", candidates(pictures, *close_pairs(vectors, MIN_COSINE, seed)), inputs, settings)


def candidates(pictures: Pictures, alike: Rows = NO_PAIRS, cosines: NDArray[np.float32] = NO_COSINES) -> pa.Table:
    """The table of candidate pairs (`CANDIDATE_SCHEMA`, a < b). `alike` are the semantic ones, int64 [pairs, 2], with their cosines; those
    whose hashes are as far apart as those of any two pictures are left out."""
    near = pdq_distances(pictures, alike)[0] <= MAX_SEMANTIC_PDQ
    parts = [equal_pairs(pictures.bytes_sha256), equal_pairs(pictures.pixels_sha256), _hash_pairs(pictures), alike[near]]
    pairs, inverse = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
    similar = np.full(len(pairs), np.nan, dtype=np.float32)
    similar[inverse.ravel()[len(inverse) - int(near.sum()) :]] = cosines[near]
    starts = range(0, len(pairs), _BLOCK)
    tables = [_compared(pictures, pairs[start : start + _BLOCK], similar[start : start + _BLOCK]) for start in starts]
    return pa.concat_tables([CANDIDATE_SCHEMA.empty_table(), *tables]).sort_by([("a", "ascending"), ("b", "ascending")])


def equal_pairs(values: Iterable[str | None]) -> Rows:
    """Row numbers of equal values: every member of a group with the group's first, which is enough to join them."""
    first = dict[str, int]()
    pairs = [(first.setdefault(value, row), row) for row, value in enumerate(values) if value is not None]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def _hash_pairs(pictures: Pictures) -> Rows:
    found = [within(pictures.hashes, queries, MAX_RADIUS) for queries in (pictures.hashes, pictures.mirrored)]
    pairs = np.concatenate([np.stack([i, j], axis=1) for i, j, _ in found])
    return np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)


def pdq_distances(pictures: Pictures, pairs: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each pair the distance of the second hash to the first or to its mirror image, the smaller one, and whether it is the latter."""
    i, j = pairs.T
    straight, turned = hamming(pictures.hashes[i], pictures.hashes[j]), hamming(pictures.mirrored[i], pictures.hashes[j])
    return np.minimum(straight, turned), turned < straight


def _compared(pictures: Pictures, pairs: Rows, cosines: NDArray[np.float32]) -> pa.Table:
    """What the columns of `CANDIDATE_SCHEMA` say about each pair."""
    i, j = pairs.T
    distance, mirrored = pdq_distances(pictures, pairs)
    grids = pictures.grids[i].reshape(-1, GRID, GRID, 3)
    grids = np.where(mirrored[:, None, None, None], grids[:, :, ::-1], grids)
    mean, peak = grid_difference(grids, pictures.grids[j].reshape(-1, GRID, GRID, 3))
    columns: dict[str, Any] = {
        "a": [min(pictures.keys[a], pictures.keys[b]) for a, b in pairs],
        "b": [max(pictures.keys[a], pictures.keys[b]) for a, b in pairs],
        "same_bytes": [pictures.bytes_sha256[a] == pictures.bytes_sha256[b] for a, b in pairs],
        "same_pixels": [pictures.pixels_sha256[a] == pictures.pixels_sha256[b] for a, b in pairs],
        "pdq_distance": distance.astype(np.int32),
        "mirrored": mirrored,
        "pdq_quality": np.minimum(pictures.quality[i], pictures.quality[j]).astype(np.int32),
        "grid_mean": mean,
        "grid_peak": peak,
        "cosine": pa.array(cosines, pa.float32(), from_pandas=True),
    }
    return pa.table(columns, schema=CANDIDATE_SCHEMA)


def grid_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean and the largest difference, 0..255, of two [pairs, 16, 16, 3] grids, after evening out the brightness by up to a quarter."""
    first, second = a.reshape(len(a), -1).astype(np.float32), b.reshape(len(b), -1).astype(np.float32)
    gain = (first * second).sum(1) / np.maximum((first * first).sum(1), 1)
    plain, evened = np.abs(first - second), np.abs(np.minimum(first * gain.clip(0.8, 1.25)[:, None], 255) - second)
    better = (evened.mean(1) < plain.mean(1))[:, None]
    difference = np.where(better, evened, plain)
    return difference.mean(1), difference.max(1, initial=0)


def _read_pictures(store: Store, keys: set[str]) -> Pictures:
    columns = ["key", "pixels_sha256", "pdq", "pdq_mirrored", "pdq_quality", "grid"]
    rows: dict[str, dict[str, Any]] = {}
    for batch in batches(store):
        crawled = read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=["key", "sha256"])
        digests = dict(zip(crawled["key"].to_pylist(), crawled["sha256"].to_pylist(), strict=True))
        for row in read_table(store.path(f"features/{batch}/picture.parquet"), columns=columns).to_pylist():
            if row["key"] in keys and row["pdq"] is not None:
                rows[row["key"]] = row | {"sha256": digests.get(row["key"])}
    table = [rows[key] for key in sorted(rows)]
    return Pictures(
        keys=[row["key"] for row in table],
        bytes_sha256=[row["sha256"] for row in table],
        pixels_sha256=[row["pixels_sha256"] for row in table],
        hashes=stacked([row["pdq"] for row in table]),
        mirrored=stacked([row["pdq_mirrored"] for row in table]),
        quality=np.array([row["pdq_quality"] for row in table], dtype=np.int64),
        grids=np.frombuffer(b"".join(row["grid"] for row in table), dtype=np.uint8).reshape(len(table), -1),
    )


def _read_embeddings(store: Store, files: list[str], keys: list[str]) -> NDArray[np.float32]:
    """float32 [keys, dim], zeros where a key has no embedding."""
    vectors: dict[str, Any] = {}
    for file in files:
        table = read_table(store.path(file), columns=["key", "clip_image"])
        vectors |= dict(zip(table["key"].to_pylist(), column_vectors(table, "clip_image"), strict=True))
    dim = len(next(iter(vectors.values()), ()))
    return np.stack([vectors.get(key, np.zeros(dim, dtype=np.float32)) for key in keys]).astype(np.float32)

"""This file is nearest neighbours: exact search for queries, and all close pairs of a set by comparing within k-means cells."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

CELL_ROWS = 2_000
CLUSTERINGS = 3
_BLOCK = 4_096
Floats = NDArray[np.float32]


def normalised(vectors: NDArray[Any]) -> Floats:
    """float32 rows of length one; a row of zeros stays zeros."""
    rows = np.asarray(vectors, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def nearest(queries: NDArray[Any], base: NDArray[Any], count: int = 1) -> tuple[NDArray[np.int64], Floats]:
    """The `count` rows of `base` nearest to each query by cosine, best first: row numbers and cosines, both [queries, count].

    Exact. `count` is cut to the number of rows in `base`; equal cosines come in the order of `base`.
    """
    asked, known = normalised(queries), normalised(base)
    count = min(count, len(known))
    rows, cosines = [np.zeros((0, count), dtype=np.int64)], [np.zeros((0, count), dtype=np.float32)]
    for start in range(0, len(asked), _BLOCK):
        scores = asked[start : start + _BLOCK] @ known.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        rows.append(best)
        cosines.append(np.take_along_axis(scores, best, axis=1))
    return np.concatenate(rows), np.concatenate(cosines)


def close_pairs(vectors: NDArray[Any], min_cosine: float, seed: int = 0) -> tuple[NDArray[np.int64], Floats]:
    """The pairs of rows whose cosine is at least `min_cosine`: int64 [pairs, 2] with the smaller row first, sorted, and their cosines.

    Up to `CELL_ROWS` rows all pairs are compared. More rows are cut into k-means cells, k growing with their number, and compared within
    them; `CLUSTERINGS` clusterings with different starts catch pairs that one of them separates.
    """
    rows = normalised(vectors)
    found, cosines = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    for clustering in range(1 if len(rows) <= CELL_ROWS else CLUSTERINGS):
        cells = kmeans_cells(rows, max(1, len(rows) // (CELL_ROWS // 2)), seed + clustering)
        order = np.argsort(cells, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
            for start in range(0, len(members), _BLOCK):
                pairs, near = _close_in_cell(rows, members[start : start + _BLOCK], members, min_cosine)
                found.append(pairs)
                cosines.append(near)
    pairs, first = np.unique(np.concatenate(found), axis=0, return_index=True)
    return pairs, np.concatenate(cosines)[first]


def _close_in_cell(
    rows: Floats, part: NDArray[np.int64], members: NDArray[np.int64], min_cosine: float
) -> tuple[NDArray[np.int64], Floats]:
    cosines = rows[part] @ rows[members].T
    i, j = np.nonzero((cosines >= min_cosine) & (part[:, None] < members))
    return np.stack([part[i], members[j]], axis=1), cosines[i, j]


def kmeans_cells(rows: Floats, cells: int, seed: int, rounds: int = 8) -> NDArray[np.int64]:
    """The cell, 0..cells-1, of each row: spherical k-means that starts from rows drawn with `seed`."""
    rng = np.random.default_rng(seed)
    centres = rows[rng.choice(len(rows), min(cells, len(rows)), replace=False)] if len(rows) else rows
    sample = rows[rng.choice(len(rows), min(len(rows), 256 * cells), replace=False)] if len(rows) else rows
    for _ in range(rounds if cells > 1 else 0):
        nearest_cell = _assign(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest_cell, sample)
        empty = ~np.isin(np.arange(len(centres)), nearest_cell)
        centres = normalised(np.where(empty[:, None], centres, sums))
    return _assign(rows, centres)


def _assign(rows: Floats, centres: Floats) -> NDArray[np.int64]:
    parts = [np.argmax(rows[start : start + _BLOCK] @ centres.T, axis=1) for start in range(0, len(rows), _BLOCK)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def search(store: Store, folder: str, query: NDArray[Any], count: int = 10) -> list[dict[str, Any]]:
    """The `count` pictures nearest to one query vector in a folder of clip-retrieval's layout, best first: its metadata and "cosine".

    `UserError` when the folder holds no embeddings or they have another width than the query.
    """
    files = [name for name in store.names(f"{folder}/img_emb/") if name.endswith(".npy")]
    if not files:
        raise UserError(f"there are no embeddings under {folder}/img_emb in {store.root}; embed the pairs first")
    found: list[dict[str, Any]] = []
    for file in files:
        base = np.load(store.path(file), allow_pickle=False, mmap_mode="r")
        if base.shape[1] != np.size(query):
            raise UserError(
                f"the query has {np.size(query)} numbers, the embeddings in {file} have {base.shape[1]}; use the CLIP that made them"
            )
        number = PurePosixPath(file).stem.rpartition("_")[2]
        metadata = read_table(store.path(f"{folder}/metadata/metadata_{number}.parquet"))
        rows, cosines = nearest(np.reshape(query, (1, -1)), base, count)
        found += [
            metadata.slice(int(row), 1).to_pylist()[0] | {"cosine": float(cosine)} for row, cosine in zip(rows[0], cosines[0], strict=True)
        ]
    return sorted(found, key=lambda row: -row["cosine"])[:count]

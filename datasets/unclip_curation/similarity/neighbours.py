"""Nearest neighbours: exact search for queries, and all close pairs of a set by comparing within k-means cells."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CELL_ROWS = 2_000
CLUSTERINGS = 5
_BLOCK = 4_096
_TILE = 512
_SAMPLES = 128  # rows per centre that k-means learns from
Floats = NDArray[np.float32]
Vectors = NDArray[np.float16 | np.float32 | np.float64]


def normalised(vectors: Vectors) -> Floats:
    """float32 rows of length one; a row of zeros stays zeros. Beside the result, only a block of rows is held."""
    found = np.empty(np.shape(vectors), dtype=np.float32)
    for start in range(0, len(found), _BLOCK):
        rows = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        found[start : start + _BLOCK] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found


def nearest(queries: Vectors, base: Vectors, count: int = 1) -> tuple[NDArray[np.int64], Floats]:
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


def close_pairs(vectors: Vectors, min_cosine: float, seed: int = 0, known: int = 0) -> tuple[NDArray[np.int64], Floats]:
    """The pairs of rows whose cosine is at least `min_cosine`: int64 [pairs, 2] with the smaller row first, sorted, and their cosines.
    The first `known` rows are not compared with each other, so few rows after many known ones cost little.

    Up to `CELL_ROWS` rows all pairs are compared. More rows are cut into k-means cells, whose number grows with the rows, and compared
    within them; `CLUSTERINGS` clusterings with different starts catch pairs that one of them separates. Every cosine is computed, so no
    pair is wrong; how many are missed is measured by `benchmarks/dedupe.py`. Time and memory grow about linearly with the rows.
    """
    rows = normalised(vectors)
    found_codes, found_cosines = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    for clustering in range(1 if len(rows) <= CELL_ROWS else CLUSTERINGS):
        for members in cells_of(rows, seed + clustering):
            codes, cosines = _close_in_cell(rows, members, min_cosine, known)
            found_codes.append(codes)
            found_cosines.append(cosines)
    codes, first = np.unique(np.concatenate(found_codes), return_index=True)
    pairs = np.stack(np.divmod(codes, max(1, len(rows))), axis=1)
    return pairs, np.concatenate(found_cosines)[first]


def _close_in_cell(rows: Floats, members: NDArray[np.int64], min_cosine: float, known: int) -> tuple[NDArray[np.int64], Floats]:
    """Codes, smaller row * rows + larger row, of the close pairs among `members` (ascending) of which the larger row is not known, and
    their cosines."""
    first = int(np.searchsorted(members, known))
    if first == len(members):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    cell, codes, cosines = rows[members], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    for start in range(first, len(members), _TILE):
        scores = cell[start : start + _TILE] @ cell[: start + _TILE].T
        near = np.flatnonzero(scores >= min_cosine)
        j, i = np.divmod(near, scores.shape[1])
        apart = i < start + j
        codes.append(members[i[apart]] * len(rows) + members[start + j[apart]])
        cosines.append(scores.ravel()[near[apart]])
    return np.concatenate(codes), np.concatenate(cosines)


def cells_of(rows: Floats, seed: int) -> Iterator[NDArray[np.int64]]:
    """Cells of about `CELL_ROWS` / 2 near rows each, as ascending row numbers; every row is in one.

    Two levels of k-means, the first into the square root of the number of cells, keep the cost of finding a row's cell small.
    """
    rng = np.random.default_rng(seed)
    wanted = len(rows) // (CELL_ROWS // 2)
    for outer in _split(rows, np.arange(len(rows)), max(1, round(wanted**0.5)), rng):
        yield from _split(rows, outer, max(1, len(outer) // (CELL_ROWS // 2)) if len(rows) > CELL_ROWS else 1, rng)


def _split(rows: Floats, members: NDArray[np.int64], cells: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    if cells < 2:
        yield members
        return
    centres = kmeans_centres(rows[rng.choice(members, min(len(members), _SAMPLES * cells), replace=False)], cells)
    cell = _assign(rows, members, centres)
    order = np.argsort(cell, kind="stable")
    yield from np.split(members[order], np.flatnonzero(np.diff(cell[order])) + 1)


def kmeans_centres(sample: Floats, cells: int, rounds: int = 6) -> Floats:
    """Centres of spherical k-means that starts from the first rows of the sample, which is in random order; unit length [cells, dim]."""
    centres = sample[:cells]
    for _ in range(rounds):
        cell = _assign(sample, np.arange(len(sample)), centres)
        order = np.argsort(cell, kind="stable")
        present, starts = np.unique(cell[order], return_index=True)
        sums = centres.copy()
        sums[present] = np.add.reduceat(sample[order], starts, axis=0)
        centres = normalised(sums)
    return centres


def _assign(rows: Floats, members: NDArray[np.int64], centres: Floats) -> NDArray[np.int64]:
    parts = [np.argmax(rows[members[start : start + _BLOCK]] @ centres.T, axis=1) for start in range(0, len(members), _BLOCK)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

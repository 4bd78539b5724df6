"""Likeness: how near pictures are to each other by bytes, pixels, hashes in eight orientations, and colours.

A hash sees brightness only, so a red heart and a blue one are alike to it; a 16 x 16 grid of colours tells them apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from unclip_curation.schemas import BITS, CANDIDATE_SCHEMA, GRID, PICTURE_SCHEMA, TURNS
from unclip_curation.similarity.hashes import MAX_RADIUS, ROTATED, UPRIGHT, hamming, turned, within

MAX_SEMANTIC_PDQ = 112  # bits; two unrelated pictures are about 128 apart
_BLOCK = 50_000
Rows = NDArray[np.int64]
NO_PAIRS, NO_COSINES = np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.float32)
FINGERPRINT_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("sha256", pa.string()),
        *(PICTURE_SCHEMA.field(name) for name in ("pixels_sha256", "pdq_turns", "pdq_quality", "grid")),
    ]
)
FINGERPRINT = tuple(FINGERPRINT_SCHEMA.names)


@dataclass(frozen=True)
class Pictures:
    """Rows with what tells them apart; row i of every field is the same picture. `turns` is uint8 [rows, 8, 32], `grids` [rows, 768]."""

    keys: list[str]
    bytes_sha256: list[str | None]
    pixels_sha256: list[str | None]
    turns: NDArray[np.uint8]
    quality: NDArray[np.int64]
    grids: NDArray[np.uint8]


def as_pictures(table: pa.Table) -> Pictures:
    """The rows of a table with the columns `FINGERPRINT`, none of which is null but for the digests."""
    return Pictures(
        keys=table["key"].to_pylist(),
        bytes_sha256=table["sha256"].to_pylist(),
        pixels_sha256=table["pixels_sha256"].to_pylist(),
        turns=_bytes_of(table["pdq_turns"], TURNS * BITS // 8).reshape(-1, TURNS, BITS // 8),
        quality=table["pdq_quality"].to_numpy().astype(np.int64),
        grids=_bytes_of(table["grid"], GRID * GRID * 3),
    )


def _bytes_of(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """uint8 [rows, width] of a column of fixed-size binary without nulls."""
    parts = [np.frombuffer(one.buffers()[1] or b"", dtype=np.uint8).reshape(-1, width)[one.offset :][: len(one)] for one in column.chunks]
    return np.concatenate([np.zeros((0, width), dtype=np.uint8), *parts])


class Likeness(TypedDict):
    """What the columns of `CANDIDATE_SCHEMA` from `same_bytes` on say about two pictures; the cosine is None where one has no embedding."""

    same_bytes: bool
    same_pixels: bool
    pdq_distance: int
    mirrored: bool
    rotation: int
    pdq_quality: int
    grid_mean: float
    grid_peak: float
    cosine: float | None


class Candidate(Likeness):
    """A row of `CANDIDATE_SCHEMA`: the keys of two pictures, and how alike they are."""

    a: str
    b: str


def candidates(pictures: Pictures, alike: Rows = NO_PAIRS, cosines: NDArray[np.float32] = NO_COSINES, known: int = 0) -> pa.Table:
    """The table of pairs that may be duplicates (`CANDIDATE_SCHEMA`, a < b), as they are or mirrored (rotation 0), and turned.

    `alike` are the semantic ones, int64 [pairs, 2], with their cosines; those whose hashes are as far apart as those of any two pictures
    are left out. The first `known` rows were compared with each other before: only pairs with one of the others are found.
    """
    near = pdq_distances(pictures, pictures, alike, UPRIGHT)[0] <= MAX_SEMANTIC_PDQ
    exact = [equal_pairs(values) for values in (pictures.bytes_sha256, pictures.pixels_sha256)]
    upright = np.concatenate([*exact, near_hashes(pictures, pictures, UPRIGHT, known), alike[near]])
    rotated = near_hashes(pictures, pictures, ROTATED, known)
    similar = np.concatenate([np.full(len(upright) - int(near.sum()), np.nan, dtype=np.float32), cosines[near]])
    none = np.full(len(rotated), np.nan, dtype=np.float32)
    tables = [CANDIDATE_SCHEMA.empty_table()]
    for pairs, found, orientations in ((upright, similar, UPRIGHT), (rotated, none, ROTATED)):
        pairs, found = _once(pictures, pairs, found, known)
        for start in range(0, len(pairs), _BLOCK):
            tables.append(_table(pictures, pairs[start : start + _BLOCK], found[start : start + _BLOCK], orientations))
    return pa.concat_tables(tables).sort_by([("a", "ascending"), ("b", "ascending"), ("rotation", "ascending")])


def _once(pictures: Pictures, pairs: Rows, cosines: NDArray[np.float32], known: int) -> tuple[Rows, NDArray[np.float32]]:
    """Each pair of two rows once, the smaller key first; a cosine that is known counts."""
    place = np.empty(len(pictures.keys), dtype=np.int64)
    place[np.array(sorted(range(len(pictures.keys)), key=pictures.keys.__getitem__), dtype=np.int64)] = np.arange(len(pictures.keys))
    wanted = (pairs[:, 0] != pairs[:, 1]) & (pairs.max(axis=1, initial=0) >= known)
    pairs, cosines = pairs[wanted], cosines[wanted]
    swapped = place[pairs[:, 0]] > place[pairs[:, 1]]
    pairs[swapped] = pairs[swapped][:, ::-1]
    order = np.lexsort((np.isnan(cosines), pairs[:, 1], pairs[:, 0]))
    pairs, cosines = pairs[order], cosines[order]
    first = np.concatenate([np.ones(min(1, len(pairs)), dtype=bool), (np.diff(pairs, axis=0) != 0).any(axis=1)])
    return pairs[first], cosines[first]


def equal_pairs(values: Iterable[str | None]) -> Rows:
    """Row numbers of equal values: every member of a group with the group's first, which is enough to join them."""
    first = dict[str, int]()
    pairs = [(first.setdefault(value, row), row) for row, value in enumerate(values) if value is not None]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def near_hashes(queries: Pictures, base: Pictures, orientations: Sequence[int], first: int = 0) -> Rows:
    """Pairs (query row, base row) whose hashes are within 31 bits when the query is turned to one of the orientations; none is missed.

    Queries before row `first` are left out.
    """
    upright, found = np.ascontiguousarray(base.turns[:, 0]), [NO_PAIRS]
    for turn in orientations:
        i, j, _ = within(upright, np.ascontiguousarray(queries.turns[first:, turn]), MAX_RADIUS)
        found.append(np.stack([i + first, j], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def pdq_distances(queries: Pictures, base: Pictures, pairs: Rows, orientations: Sequence[int]) -> tuple[Rows, Rows]:
    """For each pair the distance of the hashes in the orientation of the query that brings them nearest, and that orientation."""
    i, j = pairs.T
    distances = np.stack([hamming(queries.turns[i, turn], base.turns[j, 0]) for turn in orientations])
    best = distances.argmin(axis=0)
    return np.take_along_axis(distances, best[None], axis=0)[0], np.array(orientations, dtype=np.int64)[best]


def compared(queries: Pictures, base: Pictures, pairs: Rows, orientations: Sequence[int]) -> dict[str, object]:
    """What the columns of `CANDIDATE_SCHEMA` from `same_bytes` to `grid_peak` say about each pair (query row, base row)."""
    i, j = pairs.T
    distance, turns = pdq_distances(queries, base, pairs, orientations)
    grids = turned(queries.grids[i].reshape(-1, GRID, GRID, 3), turns)
    mean, peak = grid_difference(grids, base.grids[j].reshape(-1, GRID, GRID, 3))
    return {
        "same_bytes": [queries.bytes_sha256[a] is not None and queries.bytes_sha256[a] == base.bytes_sha256[b] for a, b in pairs],
        "same_pixels": [queries.pixels_sha256[a] is not None and queries.pixels_sha256[a] == base.pixels_sha256[b] for a, b in pairs],
        "pdq_distance": distance.astype(np.int32),
        "mirrored": turns >= TURNS // 2,
        "rotation": (turns % 4 * 90).astype(np.int32),
        "pdq_quality": np.minimum(queries.quality[i], base.quality[j]).astype(np.int32),
        "grid_mean": mean,
        "grid_peak": peak,
    }


def _table(pictures: Pictures, pairs: Rows, cosines: NDArray[np.float32], orientations: Sequence[int]) -> pa.Table:
    names = {"a": [pictures.keys[a] for a, _ in pairs], "b": [pictures.keys[b] for _, b in pairs]}
    columns = names | compared(pictures, pictures, pairs, orientations) | {"cosine": pa.array(cosines, pa.float32(), from_pandas=True)}
    return pa.table(columns, schema=CANDIDATE_SCHEMA)


def grid_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean and the largest difference, 0..255, of two [pairs, 16, 16, 3] grids, after evening out the brightness by up to a quarter."""
    first, second = (grids.reshape(len(a), GRID * GRID * 3).astype(np.float32) for grids in (a, b))
    gain = (first * second).sum(1) / np.maximum((first * first).sum(1), 1)
    plain, evened = np.abs(first - second), np.abs(np.minimum(first * gain.clip(0.8, 1.25)[:, None], 255) - second)
    better = (evened.mean(1) < plain.mean(1))[:, None]
    difference = np.where(better, evened, plain)
    return difference.mean(1), difference.max(1, initial=0)

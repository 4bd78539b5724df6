"""This file is perceptual hashes: PDQ (Facebook, 2019), its neighbours within a Hamming radius, and lists of known hashes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

BITS = 256
BANDS = 16
GRID = 16
# 16 bands of 16 bits and one bit of tolerance in each: by the pigeonhole principle every pair within 2 * 16 - 1 bits meets in a band
MAX_RADIUS = 2 * BANDS - 1
_CANDIDATES = 4_000_000


def pdq(pixels: NDArray[np.uint8]) -> tuple[bytes, int]:
    """The 256-bit PDQ hash as 32 bytes and its quality, 0 (flat) to 100."""
    import pdqhash

    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
    return np.packbits(np.asarray(bits, dtype=np.uint8)).tobytes(), int(quality)


def stacked(hashes: Sequence[bytes]) -> NDArray[np.uint8]:
    """uint8 of shape [number, 32]."""
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, BITS // 8)


def within(
    base: NDArray[np.uint8], queries: NDArray[np.uint8], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All (query row, base row, distance) with at most `radius` (<= 31) differing bits, sorted by query, then base.

    `base` and `queries` are uint8 [number, 32]. The index is banded, so the cost grows with the number of rows that share a band.
    """
    assert 0 <= radius <= MAX_RADIUS
    found = [_close(base, queries, i, j, radius) for i, j in _candidates(base, queries)]
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    triples = np.unique(np.concatenate(found, axis=1), axis=1)
    return triples[0], triples[1], triples[2]


def hamming(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of differing bits, row by row, of two uint8 [number, 32]."""
    return np.unpackbits(a ^ b, axis=1).sum(axis=1, dtype=np.int64)


def _close(
    base: NDArray[np.uint8], queries: NDArray[np.uint8], i: NDArray[np.int64], j: NDArray[np.int64], radius: int
) -> NDArray[np.int64]:
    distance = hamming(queries[i], base[j])
    near = distance <= radius
    return np.stack([i[near], j[near], distance[near]])


def _candidates(base: NDArray[np.uint8], queries: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of rows that agree in a band up to one bit, in bounded portions."""
    bands, wanted = base.view(">u2"), queries.view(">u2")
    flips = np.array([0, *(1 << bit for bit in range(BITS // BANDS))], dtype=np.uint16)
    for band in range(BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        values = bands[order, band]
        for flip in flips:
            probe = wanted[:, band] ^ flip
            first, last = np.searchsorted(values, probe, "left"), np.searchsorted(values, probe, "right")
            for i, at in _ranges(first, last):
                yield i, order[at]


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(row, position) for every position of every row's range, in portions of bounded size."""
    sizes = last - first
    cuts = np.searchsorted(np.cumsum(sizes), np.arange(_CANDIDATES, int(sizes.sum()) + _CANDIDATES, _CANDIDATES))
    start = 0
    for stop in [*(int(cut) + 1 for cut in cuts), len(sizes)]:
        part = sizes[start:stop]
        if part.sum():
            rows = np.repeat(np.arange(start, start + len(part)), part)
            offsets = np.arange(part.sum()) - np.repeat(np.cumsum(part) - part, part)
            yield rows, first[rows] + offsets
        start = max(start, stop)


@dataclass(frozen=True)
class BlockList:
    """Hashes of pictures that must not be learned from, with the list's own words for each."""

    hashes: NDArray[np.uint8]
    labels: tuple[str, ...]


def load_block_list(store: Store, name: str) -> BlockList:
    """The list in `name`, JSON of the form {"hashes": [{"pdq": 64 hex digits, "label": text}, ...]}; `UserError` when it is not."""
    listed = store.read_json(name)
    try:
        entries = [(str(entry["pdq"]), str(entry.get("label", ""))) for entry in listed["hashes"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{store.path(name)} must look like {{"hashes": [{{"pdq": "64 hex digits", "label": "..."}}]}}; put it right'
        ) from error
    for text, _ in entries:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise UserError(f"pdq {text[:70]!r} in {store.path(name)} is not 64 hex digits; put the hash right or remove the entry")
    hashes = stacked([bytes.fromhex(text) for text, _ in entries])
    return BlockList(hashes, tuple(label for _, label in entries))

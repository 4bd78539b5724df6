"""Perceptual hashes: PDQ (Facebook, 2019) in its eight orientations, neighbours within a Hamming radius, lists of hashes.

An orientation is a number: `turn % 4` quarter turns against the clock, then mirrored left to right if `turn` is 4 or more.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.schemas import BITS, GRID, TURNS
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

MAX_RADIUS = 31
UPRIGHT, ROTATED = (0, 4), (1, 2, 3, 5, 6, 7)
HASHED_SIDE = 64  # of the small picture that PDQ transforms
_COSINES = np.sqrt(2 / HASHED_SIDE) * np.cos(np.pi / (2 * HASHED_SIDE) * np.outer(np.arange(1, GRID + 1), 2 * np.arange(HASHED_SIDE) + 1))
_MIRRORED = (-1.0) ** np.arange(1, GRID + 1)  # a mirrored picture has every other wave upside down
_DECIMALS = 4  # waves that cancel out are 0 and not the noise of one processor's arithmetic
_CANDIDATES = 1_000_000
_FEWEST_BANDS, _MOST_BANDS = 12, 24
_PROBE_COST = 0.5  # of looking into one bucket, beside comparing one pair of hashes
Rows = NDArray[np.int64]
_BITS_SET = np.unpackbits(np.arange(65_536, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(axis=1, dtype=np.uint8)


def pdq(pixels: NDArray[np.uint8]) -> tuple[bytes, int]:
    """The 256-bit PDQ hash as 32 bytes and its quality, 0 (flat) to 100. Lists of known pictures hold this hash."""
    import pdqhash

    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
    return np.packbits(np.asarray(bits, dtype=np.uint8)).tobytes(), int(quality)


def pdq_turns(image: Image.Image) -> tuple[bytes, int]:
    """The PDQ hashes of the picture in all eight orientations as 256 bytes, and their quality, 0 (flat) to 100.

    They are taken of the picture after a tent filter to 64 x 64 pixels, which is what PDQ's own filter approximates. That one is off
    centre by about a pixel, so its hash of a turned picture differs by some 30 bits from the turned hash; here it is 4 at most, and a
    copy at half size stays near too. To `pdq` of the same picture it is about 11 bits. From there on the hash is PDQ's own: of the first
    16 x 16 waves of the cosine transform, without the constant, those above the median are set. One transform gives all orientations,
    for a wave of a turned picture is a wave of the picture with its axes exchanged or its sign changed.
    """
    grey = np.asarray(image.convert("L").resize((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BILINEAR))
    waves = np.round(_COSINES @ grey.astype(np.float64) @ _COSINES.T, _DECIMALS)
    oriented = np.empty((TURNS, GRID, GRID))
    for turn in range(TURNS // 2):
        oriented[turn], oriented[turn + TURNS // 2] = waves, waves * _MIRRORED
        waves = waves.T * _MIRRORED[:, None]
    flat = oriented.reshape(TURNS, BITS)
    median = np.partition(flat, BITS // 2 - 1, axis=1)[:, BITS // 2 - 1, None]
    return np.packbits(flat[:, ::-1] > median, axis=1).tobytes(), _quality(grey)


def _quality(grey: NDArray[np.uint8]) -> int:
    """PDQ's measure of how much there is to see: the sum of steps between neighbours, in hundredths of full brightness, cut to 0..100."""
    values = grey.astype(np.int32)
    steps = sum(int((np.abs(np.diff(values, axis=axis)) * 100 // 255).sum()) for axis in (0, 1))
    return min(100, steps // 90)


def turned(grids: NDArray[np.uint8], turns: Rows) -> NDArray[np.uint8]:
    """Each [rows, side, side, 3] grid in its orientation."""
    found = grids.copy()
    for turn in np.unique(turns):
        mine = turns == turn
        rotated = np.rot90(grids[mine], turn % 4, axes=(1, 2))
        found[mine] = rotated[:, :, ::-1] if turn >= 4 else rotated
    return found


def stacked(hashes: Sequence[bytes]) -> NDArray[np.uint8]:
    """uint8 of shape [number, 32]."""
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, BITS // 8)


def hamming(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Rows:
    """The number of differing bits, row by row, of two uint8 [number, bytes] with an even number of bytes."""
    different = np.ascontiguousarray(a) ^ np.ascontiguousarray(b)
    return _BITS_SET[different.view(np.uint16)].sum(axis=1, dtype=np.int64)


@dataclass(frozen=True)
class Band:
    """A run of a hash's bits in which two hashes may differ by up to `tolerance` bits to be compared as a whole."""

    first: int
    width: int
    tolerance: int

    def values(self, hashes: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The band's bits of each hash as a number."""
        bits = np.unpackbits(hashes, axis=1, count=self.first + self.width)[:, self.first :]
        return (bits @ self._single()).astype(np.uint32)

    def flips(self) -> NDArray[np.uint32]:
        """Every pattern of up to `tolerance` differing bits."""
        found = np.zeros(1, dtype=np.uint32)
        for _ in range(self.tolerance):
            found = np.unique(np.concatenate([found, (found[:, None] ^ self._single()).ravel()])).astype(np.uint32)
        return found

    def _single(self) -> NDArray[np.uint32]:
        return np.left_shift(1, np.arange(self.width)).astype(np.uint32)


def bands_for(rows: int, radius: int) -> list[Band]:
    """The bands by which any two hashes within `radius` bits are sure to meet, chosen to cost least for an index of so many rows.

    If a pair differed by more than its tolerance in every band, it would differ in at least the sum of (tolerance + 1) bits; that sum is
    `radius` + 1 (the pigeonhole principle, as in multi-index hashing, Norouzi et al. 2012). Few rows want 16 bands of 16 bits with a
    tolerance of one; more rows want wider bands, so that a bucket holds few rows at any size.
    """
    plans = [_bands(count, radius) for count in range(_FEWEST_BANDS, _MOST_BANDS + 1)]
    return min(plans, key=lambda bands: sum(len(band.flips()) * (_PROBE_COST + rows / 2**band.width) for band in bands))


def _bands(count: int, radius: int) -> list[Band]:
    edges = [BITS * band // count for band in range(count + 1)]
    shares = [(radius + 1) * (band + 1) // count - (radius + 1) * band // count for band in range(count)]
    return [Band(first, end - first, share - 1) for first, end, share in zip(edges, edges[1:], shares, strict=False) if share]


def within(base: NDArray[np.uint8], queries: NDArray[np.uint8], radius: int) -> tuple[Rows, Rows, Rows]:
    """All (query row, base row, distance) with at most `radius` (<= 31) differing bits, sorted by query, then base.

    `base` and `queries` are uint8 [number, 32]. None is missed (`bands_for`); only rows that share a band are compared.
    """
    assert 0 <= radius <= MAX_RADIUS
    found = [np.zeros((3, 0), dtype=np.int64)]
    base, queries = np.ascontiguousarray(base), np.ascontiguousarray(queries)
    for band in bands_for(len(base), radius) if len(base) and len(queries) else []:
        found += [_close(base, queries, i, j, radius) for i, j in _candidates(band, base, queries)]
    triples = np.unique(np.concatenate(found, axis=1), axis=1)
    return triples[0], triples[1], triples[2]


def _close(base: NDArray[np.uint8], queries: NDArray[np.uint8], i: Rows, j: Rows, radius: int) -> Rows:
    """Half of the bits tell nearly all pairs apart, so the other half is looked at for few."""
    half = BITS // 16
    maybe = np.flatnonzero(hamming(queries[i, :half], base[j, :half]) <= radius)
    i, j = i[maybe], j[maybe]
    distance = hamming(queries[i], base[j])
    near = distance <= radius
    return np.stack([i[near], j[near], distance[near]])


def _candidates(band: Band, base: NDArray[np.uint8], queries: NDArray[np.uint8]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows (query, base) that agree in the band up to its tolerance, in bounded portions."""
    values, wanted = band.values(base), band.values(queries)
    order = np.argsort(values, kind="stable")
    starts = np.zeros(2**band.width + 1, dtype=np.int64)
    np.cumsum(np.bincount(values, minlength=2**band.width), out=starts[1:])
    for flip in band.flips():
        probe = wanted ^ flip
        first, last = starts[probe], starts[probe + 1]
        for i, at in _ranges(first, last):
            yield i, order[at]


def _ranges(first: Rows, last: Rows) -> Iterator[tuple[Rows, Rows]]:
    """(row, position) for every position of every row's range, in portions of bounded size."""
    rows = np.flatnonzero(last > first)
    sizes = (last - first)[rows]
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, np.arange(_CANDIDATES, int(sizes.sum()) + _CANDIDATES, _CANDIDATES))
    start = 0
    for stop in [*(int(cut) + 1 for cut in cuts), len(sizes)]:
        part = sizes[start:stop]
        if len(part):
            begins = ends[start:stop] - part
            shift = first[rows[start:stop]] - (begins - begins[0])
            yield np.repeat(rows[start:stop], part), np.arange(part.sum()) + np.repeat(shift, part)
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

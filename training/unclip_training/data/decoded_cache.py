"""Cache of decoded pairs: a small set is unpacked once and then every stage of every training reads it from memory.

It lies beside the data under `cache/`, named by the digest of what it was made from; deleting it costs only the time to make it again.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from unclip_pairs.manifest import is_done, make_manifest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store
from unclip_training.data.pair_source import PairSample, PairSource, raw_samples, sample_weights, unpack
from unclip_training.data.variation import may_be_mirrored

SMALLEST_SIDE = 128  # what the tiny stages and the feature extractor share
LAYOUT = 2  # of the folder's files
MOST_THREADS = 16


@dataclass(frozen=True)
class DecodedPairs:
    """N pairs: pictures uint8 [N, side, side, 3] (a memory map), embeddings float32 [N, D] or None, weights float32 [N].

    `captions` are the best caption of each pair, `captions_of` all of each, best first: `captions_of[i][0] == captions[i]`.
    """

    digest: str
    keys: list[str]
    captions: list[str]
    captions_of: list[tuple[str, ...]]
    weights: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    clip_image: NDArray[np.float32] | None
    clip_text: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def mirrorable(self) -> NDArray[np.bool_]:
        """bool [N]: whether all captions of a pair stay true of the mirrored picture."""
        return np.array([all(map(may_be_mirrored, captions)) for captions in self.captions_of], bool)

    def at(self, side: int) -> NDArray[np.uint8]:
        """The pictures at `side`: uint8 [N, side, side, 3], each pixel the mean of those it stands for."""
        return shrink(self.pictures, side)


def shrink(pictures: NDArray[np.uint8], side: int, chunk: int = 256) -> NDArray[np.uint8]:
    """uint8 [N, side, side, 3] by box averaging; `side` must divide the present one."""
    factor, rest = divmod(pictures.shape[1], side)
    assert rest == 0, f"{side} does not divide {pictures.shape[1]}"
    if factor == 1:
        return np.asarray(pictures)
    small = np.empty((len(pictures), side, side, 3), np.uint8)
    for start in range(0, len(pictures), chunk):
        block = pictures[start : start + chunk]
        cells = block.reshape(len(block), side, factor, side, factor, 3)
        small[start : start + chunk] = np.round(cells.mean((2, 4), dtype=np.float32))
    return small


def cache_folder(source: PairSource, side: int) -> str:
    """The store-relative folder of the cache of this source at this side."""
    return f"cache/{source.digest12}-{side}"


def decoded_pairs(store: Store, source: PairSource, side: int, progress: Callable[[int], None] | None = None) -> DecodedPairs:
    """The pairs at `side` (at least 128), from the cache, which is made when missing. `DecodeError` on a picture that cannot be read."""
    side = max(side, SMALLEST_SIDE)
    folder, inputs, settings = cache_folder(source, side), {"source": source.digest}, {"side": side, "layout": LAYOUT}
    if not is_done(store, f"{folder}/manifest.json", inputs, settings):
        names = _write(store, folder, source, _unpacked(store, source, side, progress))
        write_manifest(store, f"{folder}/manifest.json", make_manifest(store, "cache", names, inputs=inputs, settings=settings))
    return _open(store, folder, source)


def first_pairs(store: Store, source: PairSource, side: int, count: int) -> DecodedPairs:
    """At most `count` pairs of the source at `side` (at least 128), in shard order, unpacked anew each time; errors as above."""
    chosen = [unpack(sample, max(side, SMALLEST_SIDE)) for sample in islice(raw_samples(store, source), count)]
    images, texts = [s.clip_image for s in chosen if s.clip_image is not None], [s.clip_text for s in chosen if s.clip_text is not None]
    return DecodedPairs(
        digest=source.digest,
        keys=[s.key for s in chosen],
        captions=[s.caption for s in chosen],
        captions_of=[s.captions for s in chosen],
        weights=np.ones(len(chosen), np.float32),
        pictures=np.stack([s.picture for s in chosen]),
        clip_image=np.stack(images) if len(images) == len(chosen) else None,
        clip_text=np.stack(texts) if len(texts) == len(chosen) else None,
    )


def _unpacked(store: Store, source: PairSource, side: int, progress: Callable[[int], None] | None) -> Iterator[PairSample]:
    """Pictures unpack outside Python's lock, so a thread for each core keeps all of them busy."""
    raw, count = raw_samples(store, source), 0
    with ThreadPoolExecutor(min(os.cpu_count() or 2, MOST_THREADS)) as pool:
        while block := list(islice(raw, 256)):
            yield from pool.map(lambda sample: unpack(sample, side), block)
            count += len(block)
            if progress is not None:
                progress(count)


def _write(store: Store, folder: str, source: PairSource, samples: Iterable[PairSample]) -> list[str]:
    """Writes the arrays and the table of captions; gives their names."""
    unpacked = list(samples)
    weights = sample_weights(store, source)
    columns = {
        "key": [s.key for s in unpacked],
        "captions": pa.array([s.captions for s in unpacked], pa.list_(pa.string())),
        "weight": [weights.get(s.key, 1.0) for s in unpacked],
    }
    write_parquet(store, f"{folder}/pairs.parquet", pa.table(columns))
    arrays: dict[str, list[NDArray[np.uint8] | NDArray[np.float32]]] = {"pictures": [s.picture for s in unpacked]}
    if all(s.clip_image is not None and s.clip_text is not None for s in unpacked):
        arrays["clip_image"] = [s.clip_image for s in unpacked if s.clip_image is not None]
        arrays["clip_text"] = [s.clip_text for s in unpacked if s.clip_text is not None]
    for name, rows in arrays.items():
        write_array(store, f"{folder}/{name}.npy", np.stack(rows))
    return [f"{folder}/pairs.parquet", *(f"{folder}/{name}.npy" for name in arrays)]


def write_array(store: Store, name: str, array: NDArray[np.generic]) -> None:
    """Writes a `.npy` whole or not at all."""
    with store.writing(name) as part:
        np.save(part, array, allow_pickle=False)


def read_array(path: Path) -> NDArray[Any]:
    """A read-only memory map; pickled content is refused."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _open(store: Store, folder: str, source: PairSource) -> DecodedPairs:
    table = pyarrow.parquet.read_table(store.path(f"{folder}/pairs.parquet"))
    arrays = {name: store.path(f"{folder}/{name}.npy") for name in ("pictures", "clip_image", "clip_text")}
    found = {name: read_array(path) if path.exists() else None for name, path in arrays.items()}
    assert found["pictures"] is not None
    captions_of = [tuple(captions) for captions in table["captions"].to_pylist()]
    return DecodedPairs(
        digest=source.digest,
        keys=table["key"].to_pylist(),
        captions=[captions[0] for captions in captions_of],
        captions_of=captions_of,
        weights=table["weight"].to_numpy().astype(np.float32),
        pictures=found["pictures"],
        clip_image=found["clip_image"],
        clip_text=found["clip_text"],
    )

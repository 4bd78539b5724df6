"""This file is embeddings at rest: CLIP vectors of pairs, in our own Parquet and in clip-retrieval's layout."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.neighbours import normalised
from unclip_curation.pictures import picture_bytes
from unclip_curation.scoring import Progress, crawl_manifest, kept_keys, silent
from unclip_pairs.images import decode, fit_square, to_array
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.shards import Sample, read_shard, shard_names, write_parquet
from unclip_pairs.store import Store

BATCH = 64
Prepare = Callable[[Image.Image], NDArray[np.uint8]]
T = TypeVar("T")
_METADATA = (("url", pa.string()), ("caption", pa.string()))


class Embedder(Protocol):
    """Something that puts pictures and captions into one space. `digest` names the weights; vectors have length one."""

    @property
    def dim(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def pictures(self, batch: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """float32 [batch, dim] of uint8 [batch, height, width, 3]."""
        ...

    def captions(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """float32 [texts, dim]."""
        ...


def embedding_folder(embedder: Embedder) -> str:
    """The folder of the store in which this embedder's vectors lie."""
    return f"embeddings/{embedder.digest[:8]}"


def squares(side: int) -> Prepare:
    """The preparation that asks nothing of the embedder: the whole picture in a white square of `side` pixels."""
    return lambda image: to_array(fit_square(image, side))


def embed_pairs(
    store: Store,
    batch: str,
    embedder: Embedder,
    keys: set[str] | None = None,
    side: int = 256,
    prepare: Prepare | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Manifest:
    """Writes `embeddings/<digest8>/<batch>.parquet` (key, clip_image, clip_text, similarity = their cosine), sorted by key, and the same
    vectors in clip-retrieval's layout under `embeddings/<digest8>/<batch>/`; the manifest `embeddings/<digest8>/<batch>.json` last.

    `keys` None means what the safety stage keeps. Pictures reach the embedder as `prepare` leaves them, all of one size; None means whole
    in squares of `side` pixels. `workers` batches are decoded and embedded side by side, in threads: more than one for an embedder that
    keeps to one core.
    """
    wanted = kept_keys(store, "safety") if keys is None else keys
    name = f"{embedding_folder(embedder)}/{batch}"
    inputs = {"crawl": crawl_manifest(store, batch).digest, "embedder": embedder.digest}
    settings = {"keys": settings_digest(sorted(wanted)), "side": side}
    if is_done(store, f"{name}.json", inputs, settings):
        manifest = read_manifest(store, f"{name}.json")
        assert manifest is not None
        return manifest
    table = _embedded(store, batch, embedder, wanted, prepare or squares(side), workers, progress).sort_by("key")
    write_parquet(store, f"{name}.parquet", table.drop_columns(["url", "caption"]))
    files = [f"{name}.parquet", *_write_layout(store, name, table)]
    manifest = make_manifest(
        store, "embeddings", files, inputs=inputs, settings=settings, counts={"rows": table.num_rows, "dim": embedder.dim}
    )
    return write_manifest(store, f"{name}.json", manifest)


def _embedded(
    store: Store, batch: str, embedder: Embedder, wanted: set[str], prepare: Prepare, workers: int, progress: Progress
) -> pa.Table:
    """One row per wanted pair of the batch, in the order of the shards."""
    vectors = pa.list_(pa.float32(), embedder.dim)
    schema = pa.schema([("key", pa.string()), ("clip_image", vectors), ("clip_text", vectors), ("similarity", pa.float32()), *_METADATA])
    tables, done = [schema.empty_table()], 0
    samples = _batched(_wanted_samples(store, batch, wanted))
    for columns in _in_order(lambda samples: _columns(samples, embedder, prepare), samples, workers):
        tables.append(pa.table(columns, schema=schema))
        progress(done := done + len(columns["key"]), len(wanted))
    return pa.concat_tables(tables)


def _columns(samples: list[Sample], embedder: Embedder, prepare: Prepare) -> dict[str, Any]:
    pictures = np.stack([prepare(decode(picture_bytes(sample))) for sample in samples])
    captions = [sample["txt"].decode() for sample in samples]
    images, texts = normalised(embedder.pictures(pictures)), normalised(embedder.captions(captions))
    return {
        "key": [sample["__key__"] for sample in samples],
        "clip_image": _vectors(images),
        "clip_text": _vectors(texts),
        "similarity": (images * texts).sum(axis=1),
        "url": [str(_description(sample).get("url", "")) for sample in samples],
        "caption": captions,
    }


def _description(sample: Sample) -> dict[str, Any]:
    return json.loads(sample["json"]) if "json" in sample else {}


def _vectors(rows: NDArray[np.float32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), rows.shape[1])


def _wanted_samples(store: Store, batch: str, wanted: set[str]) -> Iterator[Sample]:
    for shard in shard_names(store, f"crawl/{batch}/shard-"):
        yield from read_shard(store, shard, wanted)


def _in_order(work: Callable[[list[Sample]], T], batches: Iterator[list[Sample]], workers: int) -> Iterator[T]:
    """What `work` makes of each batch, in their order; so many batches are worked on side by side, and no more are read ahead."""
    with ThreadPoolExecutor(workers) as pool:
        coming = deque[Future[T]]()
        for batch in batches:
            coming.append(pool.submit(work, batch))
            if len(coming) > workers:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _batched(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def column_vectors(table: pa.Table, column: str) -> NDArray[np.float32]:
    """float32 [rows, dim] of a column of fixed-size lists."""
    width = table.schema.field(column).type.list_size
    return table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)


def _write_layout(store: Store, name: str, table: pa.Table) -> list[str]:
    """The files that `clip-retrieval index` and `clip-retrieval back` read: vectors as npy, what they belong to as Parquet."""
    written = []
    for folder, column in (("img_emb", "clip_image"), ("text_emb", "clip_text")):
        written.append(f"{name}/{folder}/{folder}_0.npy")
        with store.writing(written[-1]) as part:
            np.save(part, column_vectors(table, column), allow_pickle=False)
    written.append(f"{name}/metadata/metadata_0.parquet")
    write_parquet(store, written[-1], table.select(["key", "url", "caption", "similarity"]).append_column("image_path", table["key"]))
    return written

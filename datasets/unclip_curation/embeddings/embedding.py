"""Embeddings at rest: CLIP vectors of pairs, in our own Parquet and in clip-retrieval's layout.

Pairs are embedded in pieces, each stored as a file, so a killed run goes on where it stopped and any engine may do them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.embeddings.blurring import Blurs, blurred_where_asked, read_blurs
from unclip_curation.engines.processes import Engine, Work
from unclip_curation.features import crawl_manifest, kept_keys
from unclip_curation.similarity.neighbours import normalised
from unclip_pairs.images import decode, fit_square, to_array
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.shards import Sample, picture_bytes, read_shard, shard_names, write_parquet
from unclip_pairs.store import Store

BATCH = 64
PIECE_SIZE = 4 * BATCH
SIDE = 256
Prepare = Callable[[Image.Image], NDArray[np.uint8]]
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


@dataclass(frozen=True)
class EmbeddingPiece:
    """Pairs of one shard that are embedded together, the file their vectors are stored as, and what is blurred before."""

    shard: str
    keys: tuple[str, ...]
    file: str
    blurs: Blurs


LoadEmbedder = Callable[[], tuple[Embedder, Prepare]]
"""Gives an embedder and the preparation it asks for; it travels to other processes, so it is a module's function or a partial of one."""


def embed_pairs(
    store: Store,
    batch: str,
    embedder: Embedder,
    keys: set[str] | None = None,
    side: int = SIDE,
    prepare: Prepare | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Manifest:
    """Writes `embeddings/<digest8>/<batch>.parquet` (key, clip_image, clip_text, similarity = their cosine), sorted by key, and the same
    vectors in clip-retrieval's layout under `embeddings/<digest8>/<batch>/`; the manifest `embeddings/<digest8>/<batch>.json` last.

    `keys` None means what the safety stage keeps. Pictures reach the embedder as `prepare` leaves them, all of one size; None means whole
    in squares of `side` pixels. `workers` pieces are decoded and embedded side by side, in threads: more than one for an embedder that
    keeps to one core. Pieces that an earlier run or `embed_on` left are not made again. Where the safety stage wants faces
    blurred they are, so a vector knows no more than what is published.
    """
    wanted = kept_keys(store, "safety") if keys is None else keys
    name = f"{embedding_folder(embedder)}/{batch}"
    inputs = {"crawl": crawl_manifest(store, batch).digest, "embedder": embedder.digest}
    settings = _settings(store, wanted, side)
    if is_done(store, f"{name}.json", inputs, settings):
        manifest = read_manifest(store, f"{name}.json")
        assert manifest is not None
        return manifest
    pieces = _pieces(store, batch, embedder, wanted, side)
    _in_threads(partial(_embed_piece, store, embedder, prepare or squares(side)), pieces, workers, progress)
    schema = _schema(embedder.dim)
    tables = [schema.empty_table(), *(read_table(store.path(piece.file), schema=schema) for piece in pieces)]
    table = pa.concat_tables(tables).sort_by("key")
    write_parquet(store, f"{name}.parquet", table.drop_columns(["url", "caption"]), manifest=f"{name}.json")
    files = [f"{name}.parquet", *_write_layout(store, name, table)]
    manifest = make_manifest(
        store, "embeddings", files, inputs=inputs, settings=settings, counts={"rows": table.num_rows, "dim": embedder.dim}
    )
    write_manifest(store, f"{name}.json", manifest)
    for piece in pieces:
        store.remove(piece.file)
    return manifest


def embed_on(
    engine: Engine,
    store: Store,
    batch: str,
    load: LoadEmbedder,
    keys: set[str] | None = None,
    side: int = SIDE,
    progress: Progress = silent,
) -> Manifest:
    """As `embed_pairs`, the pieces done by an engine whose workers load the embedder each for itself."""
    embedder, prepare = load()
    wanted = kept_keys(store, "safety") if keys is None else keys
    inputs = {"crawl": crawl_manifest(store, batch).digest, "embedder": embedder.digest}
    settings = _settings(store, wanted, side)
    if not is_done(store, f"{embedding_folder(embedder)}/{batch}.json", inputs, settings):
        pieces = [piece for piece in _pieces(store, batch, embedder, wanted, side) if not store.exists(piece.file)]
        total, done = sum(len(piece.keys) for piece in pieces), 0
        for rows in engine.run(partial(_load_work, store, load), pieces) if pieces else ():
            progress(done := done + rows, total)
    return embed_pairs(store, batch, embedder, wanted, side, prepare)


def _load_work(store: Store, load: LoadEmbedder) -> Work[EmbeddingPiece]:
    return partial(_embed_piece, store, *load())


def _blurs(store: Store, wanted: Iterable[str]) -> Blurs:
    blurs = read_blurs(store, "safety")
    return {key: blurs[key] for key in wanted if key in blurs}


def _settings(store: Store, wanted: set[str], side: int) -> dict[str, object]:
    blurs = _blurs(store, wanted)
    settings: dict[str, object] = {"keys": settings_digest(sorted(wanted)), "side": side}
    return settings | ({"blurred": settings_digest(blurs)} if blurs else {})


def _pieces(store: Store, batch: str, embedder: Embedder, wanted: set[str], side: int) -> list[EmbeddingPiece]:
    """All the work of a batch, done or not. A file's name holds a digest of what is in it."""
    pieces, blurs = list[EmbeddingPiece](), _blurs(store, wanted)
    for shard in shard_names(store, f"crawl/{batch}/shard-"):
        rows = read_table(store.path(f"{shard}.parquet"), columns=["key"])["key"].to_pylist()
        keys = [key for key in rows if key in wanted]
        for start in range(0, len(keys), PIECE_SIZE):
            part = tuple(keys[start : start + PIECE_SIZE])
            areas = {key: blurs[key] for key in part if key in blurs}
            digest = settings_digest([embedder.digest, side, part, *([areas] if areas else [])])[:16]
            pieces.append(EmbeddingPiece(shard, part, f"{embedding_folder(embedder)}/pieces/{batch}-{digest}.parquet", areas))
    return pieces


def _schema(dim: int) -> pa.Schema:
    vectors = pa.list_(pa.float32(), dim)
    return pa.schema([("key", pa.string()), ("clip_image", vectors), ("clip_text", vectors), ("similarity", pa.float32()), *_METADATA])


def _embed_piece(store: Store, embedder: Embedder, prepare: Prepare, piece: EmbeddingPiece) -> int:
    """The number of pairs embedded and stored; what is there already is not made again."""
    if not store.exists(piece.file):
        schema = _schema(embedder.dim)
        batches = _batched(blurred_where_asked(sample, piece.blurs) for sample in read_shard(store, piece.shard, set(piece.keys)))
        tables = [pa.table(_columns(samples, embedder, prepare), schema=schema) for samples in batches]
        write_parquet(store, piece.file, pa.concat_tables(tables))
    return len(piece.keys)


def _in_threads(work: Work[EmbeddingPiece], pieces: Sequence[EmbeddingPiece], workers: int, progress: Progress) -> None:
    """Does all pieces; none begins after one has failed."""
    total, done = sum(len(piece.keys) for piece in pieces), 0
    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(work, piece) for piece in pieces]):
            progress(done := done + future.result(), total)
    finally:
        pool.shutdown(cancel_futures=True)


def _columns(samples: list[Sample], embedder: Embedder, prepare: Prepare) -> dict[str, object]:
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


def _description(sample: Sample) -> dict[str, object]:
    return json.loads(sample["json"]) if "json" in sample else {}


def _vectors(rows: NDArray[np.float32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), rows.shape[1])


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

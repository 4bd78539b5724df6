"""Pool: all pairs that people can be asked about, with their vectors, and which of them no probe may learn from."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.scorers.probes import embedded_batches
from unclip_curation.similarity.neighbours import normalised
from unclip_pairs.store import Store

HELD_OUT_SHARE = 30  # of a hundred pairs


@dataclass(frozen=True)
class Pool:
    """Keys, captions and vectors [pairs, dim] of length one of all embedded pairs, each key once, sorted."""

    keys: list[str]
    captions: list[str]
    vectors: NDArray[np.float32]

    def rows(self, keys: list[str]) -> NDArray[np.int64]:
        """Where these keys are; those that are not in the pool are left out."""
        places = {key: row for row, key in enumerate(self.keys)}
        return np.array([places[key] for key in keys if key in places], dtype=np.int64)


def read_pool(store: Store, embeddings: str) -> Pool:
    """The pool of one embedder's vectors; `UserError` when there are none."""
    tables = []
    for name in embedded_batches(store, embeddings):
        vectors = read_table(store.path(f"{name}.parquet"), columns=["key", "clip_image"])
        captions = read_table(store.path(f"{name}/metadata/metadata_0.parquet"), columns=["key", "caption"])
        tables.append(vectors.append_column("caption", _captions(vectors, captions)))
    table = pa.concat_tables(tables)
    _, first = np.unique(np.array(table["key"].to_pylist(), dtype=object).astype(str), return_index=True)
    table = table.take(pa.array(first))
    return Pool(table["key"].to_pylist(), table["caption"].to_pylist(), normalised(column_vectors(table, "clip_image")))


def _captions(vectors: pa.Table, captions: pa.Table) -> pa.Array:
    known = dict(zip(captions["key"].to_pylist(), captions["caption"].to_pylist(), strict=True))
    return pa.array([known.get(key, "") for key in vectors["key"].to_pylist()], pa.string())


def is_held_out(category: str, key: str) -> bool:
    """Whether the pair belongs to the part of the pool (30 of 100) that thresholds are chosen on and nothing is learned from."""
    return int(hashlib.sha256(f"{category} {key}".encode()).hexdigest()[:8], 16) % 100 < HELD_OUT_SHARE

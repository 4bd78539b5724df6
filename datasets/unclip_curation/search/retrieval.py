"""Retrieval: the pairs nearest to a vector in folders of clip-retrieval's layout, by exact search over the vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Protocol, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.search.visibility import Visibility
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

KINDS = {"image": "img_emb", "text": "text_emb"}
Vector = NDArray[np.float32 | np.float64]


class IndexRow(TypedDict):
    """A row of an index, and its number there."""

    key: str
    url: str
    caption: str
    id: int


class Neighbour(IndexRow):
    """A row near to a query, and the cosine with it."""

    similarity: float


class SearchResult(Neighbour):
    """A neighbour, and the index that it was found in."""

    index: str


class SearchEngine(Protocol):
    """Something that finds neighbours in the indices of one folder of embeddings, one index for each crawl batch."""

    @property
    def about(self) -> str:
        """What searches, in a few words."""
        ...

    @property
    def indices(self) -> list[str]:
        """The names of the indices, sorted."""
        ...

    def near(self, index: str, vector: Vector, count: int, modality: str, /) -> list[Neighbour]:
        """The `count` rows nearest to the vector [dim], best first: key, url, caption, "id" in the index and "similarity", the cosine with
        the pair's picture (`modality` "image") or caption ("text"). Fewer when there are no more."""
        ...

    def described(self, index: str, ids: list[int], /) -> list[IndexRow]:
        """Key, url and caption of rows of the index, with their "id"; unknown ids are left out."""
        ...


class ExactEngine:
    """numpy over the files of vectors: nothing is built, nothing to install; time grows with the rows."""

    about = "exact search over the vectors"

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._metadata: Callable[[str], pa.Table] = lru_cache(64)(lambda name: read_table(store.path(name)))

    @property
    def indices(self) -> list[str]:
        """The batches with vectors under the folder."""
        return indices_of(self.store, self.folder)

    def near(self, index: str, vector: Vector, count: int, modality: str = "image") -> list[Neighbour]:
        """As `Engine` says. `UserError` when the vectors have another width than the query."""
        found, first = list[Neighbour](), 0
        for file, metadata in self._files(index, KINDS[modality]):
            base = np.load(self.store.path(file), allow_pickle=False, mmap_mode="r")
            check_width(vector, base.shape[1], file)
            rows, cosines = _best(base, np.asarray(vector, np.float32).ravel(), count)
            told = metadata.take(pa.array(rows)).to_pylist()
            found += [
                row | {"id": first + int(at), "similarity": float(cosine)} for row, at, cosine in zip(told, rows, cosines, strict=True)
            ]
            first += len(base)
        return sorted(found, key=lambda row: -row["similarity"])[:count]

    def described(self, index: str, ids: list[int]) -> list[IndexRow]:
        """As `Engine` says."""
        table = pa.concat_tables([metadata for _, metadata in self._files(index, KINDS["image"])])
        known = [number for number in ids if 0 <= number < table.num_rows]
        return [row | {"id": number} for row, number in zip(table.take(pa.array(known, pa.int64())).to_pylist(), known, strict=True)]

    def _files(self, index: str, kind: str) -> list[tuple[str, pa.Table]]:
        """The files of vectors of an index in their order, each with what its rows are."""
        stem = f"{self.folder}/{index}"
        names = [name for name in self.store.names(f"{stem}/{kind}/") if name.endswith(".npy")]
        numbered = sorted((int(PurePosixPath(name).stem.rpartition("_")[2]), name) for name in names)
        columns = ["key", "url", "caption"]
        return [(name, self._metadata(f"{stem}/metadata/metadata_{number}.parquet").select(columns)) for number, name in numbered]


def _best(base: NDArray[np.float32], query: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows of `base` [rows, dim], of length one, nearest to a query, and their cosines; equal cosines in the order of `base`."""
    cosines = base @ (query / max(float(np.linalg.norm(query)), 1e-12))
    rows = np.arange(len(cosines))
    if count < len(rows):
        bar = np.partition(cosines, len(rows) - count)[len(rows) - count]
        rows = np.flatnonzero(cosines >= bar)
    rows = rows[np.argsort(-cosines[rows], kind="stable")][:count]
    return rows, cosines[rows]


def check_width(vector: Vector, width: int, name: str) -> None:
    """`UserError` when a query is not as wide as the vectors it is compared with."""
    if np.size(vector) != width:
        raise UserError(f"the query has {np.size(vector)} numbers, the embeddings in {name} have {width}; use the CLIP that made them")


def indices_of(store: Store, folder: str) -> list[str]:
    """The batches under a folder of embeddings that hold vectors; `UserError` when there are none."""
    found = sorted({name.split("/")[2] for name in store.names(f"{folder}/") if name.endswith(".npy") and "/img_emb/" in name})
    if not found:
        raise UserError(f"there are no embeddings under {folder} in {store}; embed the pairs first")
    return found


@dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """What a search asks for: how many rows, of which indices (None: all), near to pictures or to captions, without copies or with them."""

    count: int = 10
    indices: Sequence[str] | None = None
    modality: str = "image"
    distinct: bool = False


def search(engine: SearchEngine, visibility: Visibility, vector: Vector, asked: SearchQuery) -> list[SearchResult]:
    """The pairs nearest to a vector that may be shown, best first; each row says its "index".

    What may not be shown takes nobody's place: more is asked for until enough is found or an index has no more.
    """
    found = list[SearchResult]()
    for index in engine.indices if asked.indices is None else asked.indices:
        shown, wanted = list[Neighbour](), asked.count
        while len(shown) < asked.count:
            rows = engine.near(index, vector, wanted, asked.modality)
            shown = visibility.shown(rows, asked.distinct)
            if len(rows) < wanted:
                break
            wanted *= 4
        found += [SearchResult(**row, index=index) for row in shown[: asked.count]]
    return sorted(found, key=lambda row: -row["similarity"])[: asked.count]

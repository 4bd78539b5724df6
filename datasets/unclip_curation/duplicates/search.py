"""Search for duplicates: pairs of kept rows that may show the same picture, with how near they are to each other.

Three ways find candidates: the same bytes or pixels; a PDQ hash (of the picture in any of its eight orientations) within 31 bits;
embeddings that are near neighbours within k-means cells (SemDeDup, Abbas et al. 2023), over several clusterings, because a cell's border
separates neighbours. What counts as a duplicate is then the policy's decision.

The search goes in rounds. The first compares everything with everything; a later one compares what is new with what is new and with what
the last decision kept, so adding to a crawl costs by what is added (`rounds.py`).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.duplicates.rounds import SearchRound, all_candidates, begin, finish, last_round
from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.features import batches, kept_keys, required, write_features
from unclip_curation.schemas import SEARCHED_SCHEMA
from unclip_curation.similarity.likeness import FINGERPRINT, as_pictures, candidates
from unclip_curation.similarity.neighbours import close_pairs
from unclip_curation.tables import embedding_files
from unclip_pairs.manifest import Manifest, is_done, read_manifest
from unclip_pairs.store import Store

VERSION = 4
MIN_COSINE = 0.95


def find_duplicates(store: Store, embeddings: str | None = None, seed: int = 0, anew: bool = False) -> Manifest:
    """Writes `features/duplicates.parquet` (`CANDIDATE_SCHEMA`): pairs of rows that the safety stage keeps and that are at least as near
    as any sensible policy asks; and `features/searched.parquet` (`SEARCHED_SCHEMA`): the rows that were compared, and in which round.

    `embeddings` is the folder under `embeddings/` whose CLIP picture embeddings are compared; None leaves the semantic search out. `anew`
    compares everything with everything again, as after a change of the policy's thresholds for duplicates.
    """
    inputs = {"safety": required(store, "verdicts/safety.json", "decide the stage 'safety' first").digest}
    files = embedding_files(store, embeddings)
    inputs |= {file: required(store, f"{file.removesuffix('.parquet')}.json", "embed the pairs first").digest for file in files}
    settings: dict[str, object] = {"scorer": "duplicates", "version": VERSION, "min_cosine": MIN_COSINE, "seed": seed}
    settings |= {"embeddings": embeddings, "generation": _generation(store) + anew}
    if is_done(store, "features/duplicates.json", inputs, settings):
        return required(store, "features/duplicates.json", "search again")
    last = last_round(store, settings)
    if last is None or last.inputs != inputs:
        last = _search(store, embeddings, seed, begin(store, last, settings, inputs, kept_keys(store, "safety")))
    write_features(store, "searched", last.searched, inputs, settings)
    return write_features(store, "duplicates", all_candidates(store, last), inputs, settings, {"rounds": last.number + 1})


def _generation(store: Store) -> int:
    """How often everything was searched anew."""
    manifest = read_manifest(store, "features/duplicates.json")
    return int(manifest.settings.get("generation", 0)) if manifest else 0


def _search(store: Store, embeddings: str | None, seed: int, now: SearchRound) -> SearchRound:
    """The round, carried out and written: its new rows are compared with each other and with the known ones."""
    if not now.new:
        return finish(store, now, None)
    files = embedding_files(store, embeddings)
    fingerprints = read_fingerprints(store, [*now.known, *now.new])
    pictures, known = as_pictures(fingerprints), int((places(fingerprints["key"], now.known) >= 0).sum())
    vectors = read_vectors(store, files, pictures.keys) if files else np.zeros((0, 1), dtype=np.float32)
    found = candidates(pictures, *close_pairs(vectors, MIN_COSINE, seed, known), known)
    return finish(store, now, found, read_similarities(store, files, now.new))


def places(values: pa.ChunkedArray, among: Sequence[str]) -> NDArray[np.int64]:
    """Where each value stands in `among`, -1 for nowhere."""
    found = pc.call_function("index_in", [values], pc.SetLookupOptions(value_set=pa.array(among, pa.string())))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def read_fingerprints(store: Store, keys: Sequence[str]) -> pa.Table:
    """The columns `FINGERPRINT` of the keys, in their order; those whose picture was not measured are left out."""
    tables, columns = list[pa.Table](), [name for name in FINGERPRINT if name != "sha256"]
    for batch in batches(store):
        scored = read_table(store.path(f"features/{batch}/picture.parquet"), columns=columns)
        scored = scored.filter(pa.array(places(scored["key"], keys) >= 0)).drop_null()
        crawled = read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=["key", "sha256"])
        digests = crawled["sha256"].take(pa.array(places(scored["key"], crawled["key"].to_pylist())))
        tables.append(scored.append_column("sha256", digests))
    table = pa.concat_tables([*tables])
    # a pair that two batches met has been measured twice; the later batch counts
    row = np.full(len(keys), -1, dtype=np.int64)
    row[places(table["key"], keys)] = np.arange(table.num_rows)
    return table.take(pa.array(row[row >= 0]))


def read_vectors(store: Store, files: Sequence[str], keys: Sequence[str], column: str = "clip_image") -> NDArray[np.float32]:
    """float32 [keys, dim], zeros where a key has no embedding."""
    found = np.zeros((len(keys), 0), dtype=np.float32)
    for file in files:
        table = read_table(store.path(file), columns=["key", column])
        vectors, at = column_vectors(table, column), places(table["key"], keys)
        found = found if found.shape[1] else np.zeros((len(keys), vectors.shape[1]), dtype=np.float32)
        found[at[at >= 0]] = vectors[at >= 0]
    return found


def read_similarities(store: Store, files: Sequence[str], keys: Sequence[str]) -> pa.Array:
    """How well each key's caption fits its picture by CLIP; null where nobody said."""
    tables = [read_table(store.path(file), columns=["key", "similarity"]) for file in files]
    known = pa.concat_tables([SEARCHED_SCHEMA.empty_table().select(["key", "similarity"]), *tables])
    at = places(pa.chunked_array([pa.array(keys, pa.string())]), known["key"].to_pylist())
    return known["similarity"].combine_chunks().take(pa.array(at, mask=at < 0))

"""Leaks: training rows that show a picture of an evaluation set, by bytes, pixels, hashes in eight orientations or CLIP.

What is near is measured here; whether that is a leak is the policy's decision, by the thresholds it has for duplicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.duplicates.evaluation_sets import FOLDER, embed_set, read_set, set_names, set_vectors
from unclip_curation.duplicates.search import MIN_COSINE, read_fingerprints, read_vectors
from unclip_curation.embeddings.embedding import LoadEmbedder
from unclip_curation.features import kept_keys, required, write_features
from unclip_curation.policy import Policy
from unclip_curation.schemas import LEAK_SCHEMA
from unclip_curation.similarity.hashes import ROTATED, UPRIGHT
from unclip_curation.similarity.likeness import NO_PAIRS, Likeness, Pictures, Rows, as_pictures, compared, near_hashes
from unclip_curation.similarity.neighbours import normalised
from unclip_curation.splits import HELD_OUT_KEYS, SPLITS, VALIDATION_KEYS, withheld
from unclip_curation.tables import add_policy, embedding_files, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, read_manifest
from unclip_pairs.shards import shard_names
from unclip_pairs.store import Store

VERSION = 1
_BLOCK = 4_096
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddedPictures:
    """Pictures and their embeddings in one space, None when there are none."""

    pictures: Pictures
    vectors: Floats | None


def compare_sets(store: Store, embeddings: str | None, embedder: LoadEmbedder | None = None) -> Manifest | None:
    """As `find_leaks`; before it every evaluation set is embedded by `embedder`, where that is the one that made `embeddings`."""
    if set_names(store) and embeddings is not None and embedder is not None:
        loaded = embedder()[0]
        for name in set_names(store) if loaded.digest[:8] == embeddings else []:
            embed_set(store, name, loaded)
    return find_leaks(store, embeddings)


def find_leaks(store: Store, embeddings: str | None = None) -> Manifest | None:
    """Writes `features/leaks.parquet` (`LEAK_SCHEMA`): the rows that the safety stage keeps for training and the pictures of evaluation
    sets that are near them; None when no set is named. Held-out and validation rows are not trained on, so they are left out.

    `embeddings` is the folder under `embeddings/` whose CLIP is compared, for the sets that were embedded by it.
    """
    if not set_names(store):
        return None
    inputs, settings = _inputs(store, embeddings), {"scorer": "leaks", "version": VERSION, "embeddings": embeddings}
    if is_done(store, "features/leaks.json", inputs, settings):
        return required(store, "features/leaks.json", "compare again")
    keys = sorted(kept_keys(store, "safety") - withheld(store))
    table = nearest_pictures(_rows(store, keys, embeddings), _sets(store, embeddings))
    return write_features(store, "leaks", table, inputs, settings)


def must_be_compared(store: Store) -> None:
    """`UserError` when an evaluation set is named and the present rows were not compared with it: the final stage fails closed."""
    manifest = read_manifest(store, "features/leaks.json")
    if set_names(store) and (manifest is None or manifest.inputs != _inputs(store, manifest.settings["embeddings"])):
        raise UserError("an evaluation set is named and the present pairs were not compared with it; run `unclip leaks compare`")


def _inputs(store: Store, embeddings: str | None) -> dict[str, str]:
    names = [f"{FOLDER}/{name}/{file}" for name in set_names(store) for file in ("pictures", embeddings) if file]
    names += [file.removesuffix(".parquet") for file in embedding_files(store, embeddings)]
    manifests = {name: read_manifest(store, f"{name}.json") for name in ["verdicts/safety", HELD_OUT_KEYS, VALIDATION_KEYS, *names]}
    required(store, "verdicts/safety.json", "decide the stage 'safety' first")
    return {name: manifest.digest for name, manifest in manifests.items() if manifest is not None}


def _rows(store: Store, keys: Sequence[str], embeddings: str | None) -> EmbeddedPictures:
    pictures, files = as_pictures(read_fingerprints(store, keys)), embedding_files(store, embeddings)
    return EmbeddedPictures(pictures, read_vectors(store, files, pictures.keys) if files else None)


def _sets(store: Store, embeddings: str | None) -> dict[str, EmbeddedPictures]:
    found = dict[str, EmbeddedPictures]()
    for name in set_names(store):
        pictures = as_pictures(read_set(store, name))
        found[name] = EmbeddedPictures(pictures, set_vectors(store, name, embeddings, pictures.keys))
    return found


def nearest_pictures(rows: EmbeddedPictures, sets: Mapping[str, EmbeddedPictures]) -> pa.Table:
    """`LEAK_SCHEMA`: the rows with the pictures of the sets that are near them, as they stand or mirrored (rotation 0), and turned."""
    tables = [LEAK_SCHEMA.empty_table()]
    for name, known in sets.items():
        alike, cosines = _alike(rows.vectors, known.vectors)
        upright = np.concatenate([_equal(rows.pictures, known.pictures), near_hashes(rows.pictures, known.pictures, UPRIGHT), alike])
        for pairs, orientations in ((upright, UPRIGHT), (near_hashes(rows.pictures, known.pictures, ROTATED), ROTATED)):
            pairs = np.unique(pairs, axis=0)
            columns: dict[str, object] = {
                "key": [rows.pictures.keys[i] for i, _ in pairs],
                "evaluation_set": [name] * len(pairs),
                "picture": [known.pictures.keys[j] for _, j in pairs],
                **compared(rows.pictures, known.pictures, pairs, orientations),
                "cosine": pa.array([cosines.get((int(i), int(j))) for i, j in pairs], pa.float32()),
            }
            tables.append(pa.table(columns, schema=LEAK_SCHEMA))
    return pa.concat_tables(tables).sort_by([("key", "ascending"), ("pdq_distance", "ascending")])


def _equal(rows: Pictures, known: Pictures) -> Rows:
    """Pairs of the same bytes or the same pixels."""
    found = list[tuple[int, int]]()
    for mine, theirs in ((rows.bytes_sha256, known.bytes_sha256), (rows.pixels_sha256, known.pixels_sha256)):
        places = dict[str | None, list[int]]()
        for j, value in enumerate(theirs):
            places.setdefault(value, []).append(j)
        found += [(i, j) for i, value in enumerate(mine) if value is not None for j in places.get(value, ())]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _alike(rows: Floats | None, known: Floats | None) -> tuple[Rows, dict[tuple[int, int], float]]:
    """The pairs of embeddings with a cosine of `MIN_COSINE` or more, and their cosines; exact."""
    if rows is None or known is None or rows.shape[1] != known.shape[1]:
        return NO_PAIRS, {}
    base, cosines = normalised(known), dict[tuple[int, int], float]()
    for start in range(0, len(rows), _BLOCK):
        scores = normalised(rows[start : start + _BLOCK]) @ base.T
        for i, j in np.argwhere(scores >= MIN_COSINE):
            cosines[int(i) + start, int(j)] = float(scores[i, j])
    return np.array(list(cosines), dtype=np.int64).reshape(-1, 2), cosines


class Leak(Likeness):
    """A row of `LEAK_SCHEMA`: a crawled picture and the picture of an evaluation set that it shows."""

    key: str
    evaluation_set: str
    picture: str


def judged(store: Store, policy: Policy, near: pa.Table) -> list[Leak]:
    """The rows of `near` (`LEAK_SCHEMA`) whose key leaks by the policy's SQL, the nearest picture of each set first."""
    with open_tables(store) as connection:
        connection.execute("DROP VIEW leaks")
        connection.register("leaks", near)
        add_policy(connection, policy)
        found = connection.sql(
            "SELECT * FROM leaks WHERE key IN (SELECT key FROM final_findings WHERE reason = 'evaluation_leak')"
            " ORDER BY key, evaluation_set, NOT (same_bytes OR same_pixels), pdq_distance"
        ).to_arrow_table()
    return found.to_pylist()


def published_leaks(store: Store, version: str, policy: Policy, embeddings: str | None = None) -> list[Leak]:
    """The training rows of a published dataset that show one of its held-out or validation pictures or a picture of a named
    evaluation set."""
    keys = {split: _published_keys(store, version, split) for split in SPLITS}
    sides = {split: _rows(store, found, embeddings) for split, found in keys.items()}
    missing = len(keys["train"]) - len(sides["train"].pictures.keys)
    if missing:
        raise UserError(f"{missing} training rows of {version} have no picture features; run `unclip data score picture` and check again")
    return judged(
        store,
        policy,
        nearest_pictures(sides["train"], {name: sides[name] for name in SPLITS if name != "train"} | _sets(store, embeddings)),
    )


def _published_keys(store: Store, version: str, split: str) -> list[str]:
    names = shard_names(store, f"datasets/{version}/{split}-")
    return sorted({key for name in names for key in read_table(store.path(f"{name}.parquet"), columns=["key"])["key"].to_pylist()})

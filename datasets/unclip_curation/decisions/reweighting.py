"""Reweighting: filters skew the mix of what stays, and weights on what stays restore it.

A classifier learns to tell, of all rows before a filter, those that stay; a row that stays weighs the inverse of its probability to stay
(inverse propensity; the weight of DALL·E 2's pre-training mitigations up to a constant). Probabilities are cross-fitted: no row is judged
by a classifier that saw it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from unclip_curation.decisions.ground_truth import starter_labels
from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.features import kept_keys, required, write_features
from unclip_curation.schemas import WEIGHT_SCHEMA
from unclip_curation.tables import embedding_files, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done
from unclip_pairs.store import Store

VERSION = 1
FOLDS = 5
MAX_WEIGHT = 10.0
STRENGTHS = (0.3, 1.0, 3.0)  # inverse penalties; the one with the least log loss on rows it did not see is taken
PICTURE_SCALE = 3.0  # the length given to an embedding beside the words, each of which counts 1
_WORD_COLUMNS = 1 << 14
Features = Any  # a matrix [rows, columns], sparse or not: scikit-learn and scipy have no types for it


@dataclass(frozen=True)
class Share:
    """The share of rows, 0..1, that have a word or concept: before the filter, after it, and after it by weight."""

    word: str
    before: float
    after: float
    restored: float


@dataclass(frozen=True)
class Mix:
    """Weights of the rows that stay, float64 [rows], 0 for those that go; mean 1 over those that stay.

    `auc` is how well the classifier tells who stays (0.5: the filter skews nothing it can see); `effective` is Kish's effective sample
    size, (sum w)^2 / sum w^2, in rows; `clipped` is how many weights met the upper bound.
    """

    weights: NDArray[np.float64]
    auc: float
    effective: float
    clipped: int


def restore_mix(features: Features, stays: NDArray[np.bool_], max_weight: float = MAX_WEIGHT, seed: int = 0) -> Mix:
    """Weights under which the rows that stay have the mix of all rows.

    `features` are [rows, columns], `stays` is [rows]. Weights before normalisation lie in 1..`max_weight`. Deterministic by `seed`.
    `UserError` when fewer rows than folds stay or go: nothing can be learned from that.
    """
    if min(stays.sum(), (~stays).sum()) < 2 * FOLDS:
        raise UserError(f"{int((~stays).sum())} rows go and {int(stays.sum())} stay; reweighting needs at least {2 * FOLDS} of each")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    models = [LogisticRegression(C=strength, max_iter=1000) for strength in STRENGTHS]
    judged = [np.asarray(cross_val_predict(model, features, stays, cv=folds, method="predict_proba"))[:, 1] for model in models]
    probability = min(judged, key=lambda given: log_loss(stays, given))
    raw = np.where(stays, 1 / np.maximum(probability, 1e-6), 0)
    weights = np.minimum(raw, max_weight)
    weights = weights / weights[stays].mean()
    return Mix(weights, float(roc_auc_score(stays, probability)), effective_size(weights), int((raw > max_weight).sum()))


def effective_size(weights: NDArray[np.float64]) -> float:
    """Kish's effective sample size, in rows."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def reweight(store: Store, before: str = "rule", after: str = "safety", embeddings: str | None = None, seed: int = 0) -> Manifest:
    """Writes `features/reweighting.parquet` (`WEIGHT_SCHEMA`): weights that give what the stage `after` keeps the mix of what the stage
    `before` keeps.

    The classifier reads the words of the captions and, where every row has one under `embeddings/<embeddings>/`, the picture embeddings.
    The manifest's counts are rows, auc, effective sample size and clipped weights. `UserError` when a stage is not decided.
    """
    digests = {stage: required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first").digest for stage in (before, after)}
    files = embedding_files(store, embeddings)
    digests |= {file: required(store, f"{file.removesuffix('.parquet')}.json", "embed the pairs first").digest for file in files}
    settings = {"scorer": "reweighting", "version": VERSION, "before": before, "after": after, "max_weight": MAX_WEIGHT, "seed": seed}
    if is_done(store, "features/reweighting.json", digests, settings):
        return required(store, "features/reweighting.json", "reweight again")
    keys, captions = captions_of(store, kept_keys(store, before) | kept_keys(store, after))
    kept = kept_keys(store, after)
    stays = np.array([key in kept for key in keys])
    mix = restore_mix(described(captions, _vectors(store, files, keys)), stays, seed=seed)
    staying = [key for key, stay in zip(keys, stays, strict=True) if stay]
    rows = pa.table({"key": staying, "weight": mix.weights[stays].astype(np.float32)}, schema=WEIGHT_SCHEMA)
    counts = {"auc": round(mix.auc, 4), "effective_rows": round(mix.effective, 1), "clipped": mix.clipped}
    return write_features(store, "reweighting", rows, digests, settings, counts)


def captions_of(store: Store, keys: set[str]) -> tuple[list[str], list[str]]:
    """The keys, sorted, and their captions."""
    with open_tables(store) as connection:
        connection.register("wanted", pa.table({"key": pa.array(sorted(keys), pa.string())}))
        rows = connection.execute("SELECT key, caption FROM pairs SEMI JOIN wanted USING (key) ORDER BY key").fetchall()
    return [key for key, _ in rows], [caption for _, caption in rows]


def described(captions: Sequence[str], vectors: NDArray[np.float32] | None = None) -> Features:
    """What the classifier reads, sparse [rows, columns]: the words of each caption and, when given, picture embeddings of length one."""
    counting: dict[str, Any] = {"n_features": _WORD_COLUMNS, "alternate_sign": False, "binary": True, "norm": None}
    words = HashingVectorizer(**counting).transform(captions)  # scikit-learn has no types; the default of `norm` hides that it may be None
    return words if vectors is None else sparse.hstack([words, sparse.csr_matrix(PICTURE_SCALE * vectors)], format="csr")


def _vectors(store: Store, files: Sequence[str], keys: Sequence[str]) -> NDArray[np.float32] | None:
    """The picture embeddings of the keys; None when one of them has none."""
    found: dict[str, NDArray[np.float32]] = {}
    for file in files:
        table = read_table(store.path(file), columns=["key", "clip_image"])
        found |= dict(zip(table["key"].to_pylist(), column_vectors(table, "clip_image"), strict=True))
    return np.stack([found[key] for key in keys]) if keys and all(key in found for key in keys) else None


def shares(members: Mapping[str, Iterable[int]], stays: NDArray[np.bool_], weights: NDArray[np.float64], top: int = 20) -> list[Share]:
    """The shares of the words or concepts that the filter changed most, by standard errors of the share after it; most changed first.

    `members` maps a word to the rows, int, that have it.
    """
    found, total, kept = list[tuple[float, Share]](), len(stays), max(1, int(stays.sum()))
    for word, rows in members.items():
        mine = np.fromiter(rows, dtype=np.int64)
        before, after = len(mine) / total, float(stays[mine].sum()) / kept
        error = np.sqrt(before * (1 - before) / kept) or 1.0
        found.append((abs(after - before) / error, Share(word, before, after, float(weights[mine].sum() / weights.sum()))))
    return [share for _, share in sorted(found, key=lambda item: (-item[0], item[1].word))[:top]]


def word_members(captions: Sequence[str]) -> dict[str, list[int]]:
    """Each word of three or more letters with the numbers of the captions that have it."""
    members = dict[str, list[int]]()
    for row, caption in enumerate(captions):
        for word in dict.fromkeys(re.findall(r"[^\W\d_]{3,}", caption.lower())):
            members.setdefault(word, []).append(row)
    return members


def mix_report(store: Store) -> dict[str, list[Share]]:
    """ "words", and "concepts" where they are known, before the filter, after it and reweighted; `UserError` without weights."""
    manifest = required(store, "features/reweighting.json", "run `unclip dataset reweight` first")
    before, after = (str(manifest.settings[name]) for name in ("before", "after"))
    keys, captions = captions_of(store, kept_keys(store, before) | kept_keys(store, after))
    table = read_table(store.path("features/reweighting.parquet"))
    weight = dict(zip(table["key"].to_pylist(), table["weight"].to_pylist(), strict=True))
    weights = np.array([weight.get(key, 0.0) for key in keys])
    places, concepts = {key: row for row, key in enumerate(keys)}, dict[str, list[int]]()
    labels = starter_labels(store)
    for row in labels.to_pylist() if labels is not None else []:
        if row["key"] in places:
            concepts.setdefault(row["concept_label"] or row["concept"], []).append(places[row["key"]])
    tables = {"words": word_members(captions), "concepts": concepts}
    return {name: shares(members, weights > 0, weights) for name, members in tables.items() if members}

"""Check that captions belong to their pictures, page by page.

Pages go wrong as a whole: a gallery whose captions slipped by one, a template that repeats. So each page is asked: do its pictures fit
their own captions better than the same captions dealt out at random? What fits what is learned by ridge regression from picture to words
of the caption, on the other pages only (cross-fitting), so a wrong pair can never vouch for itself. A CLIP trained on these very pairs
could not tell: it has learned them by heart.
"""

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.features import batches, kept_keys, required, write_features
from unclip_curation.schemas import AGREEMENT_SCHEMA, GRID
from unclip_curation.scorers.captions import normalised
from unclip_pairs.manifest import Manifest, is_done
from unclip_pairs.store import Store

VERSION = 1
FOLDS = 5
RIDGE = 0.01
MAX_WORDS = 3_000
_BLOCK = 2_048
Floats = NDArray[np.float32]
Features = Callable[[list[str]], Floats]


@dataclass(frozen=True)
class Words:
    """Captions as weighted words. `ids[i]` and `values[i]` are the words of row i; its vector has length one, or zero without words."""

    ids: list[NDArray[np.int64]]
    values: list[Floats]
    count: int

    def dense(self, rows: NDArray[np.int64]) -> Floats:
        """float32 [rows, count]."""
        found = np.zeros((len(rows), self.count), dtype=np.float32)
        for place, row in enumerate(rows):
            found[place, self.ids[row]] = self.values[row]
        return found


class CrawledCaption(TypedDict):
    """The columns of the crawl that are read here."""

    key: str
    page_url: str
    caption: str
    status: str


class PageFit(TypedDict):
    """How well a caption, and its whole page, fit their pictures; see `page_fits`."""

    page_rows: int
    rank: float | None
    page_fit: float | None


def score_agreement(store: Store, features: Features | None = None, features_name: str = "") -> Manifest:
    """Writes `features/agreement.parquet` (`AGREEMENT_SCHEMA`) for all rows that the rule stage keeps.

    The pictures' own colour grids are what is learned from; `features`, a function from keys to float32 [keys, any], adds to them, and
    `features_name` names it in the manifest.
    """
    inputs = {"rule": required(store, "verdicts/rule.json", "decide the stage 'rule' first").digest}
    settings = {"scorer": "agreement", "version": VERSION, "folds": FOLDS, "ridge": RIDGE, "words": MAX_WORDS, "features": features_name}
    if is_done(store, "features/agreement.json", inputs, settings):
        return required(store, "features/agreement.json", "score again")
    rows, grids = _read(store, kept_keys(store, "rule"))
    parts = [grids] if features is None else [grids, features([row["key"] for row in rows])]
    pictures = np.concatenate([standardised(part) for part in parts], axis=1) / math.sqrt(len(parts))
    fits = page_fits(pictures, [row["caption"] for row in rows], [row["page_url"] for row in rows])
    table = pa.Table.from_pylist([{**row, **fit} for row, fit in zip(rows, fits, strict=True)], schema=AGREEMENT_SCHEMA)
    return write_features(store, "agreement", table, inputs, settings)


def _read(store: Store, keys: set[str]) -> tuple[list[CrawledCaption], Floats]:
    """The kept rows, sorted by key, and their colour grids."""
    rows, grids = dict[str, CrawledCaption](), dict[str, bytes]()
    for batch in batches(store):
        crawled = read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=["key", "page_url", "caption", "status"])
        rows |= {row["key"]: row for row in crawled.to_pylist() if row["key"] in keys and row["status"] == "ok"}
        scored = read_table(store.path(f"features/{batch}/picture.parquet"), columns=["key", "grid"])
        grids |= dict(zip(scored["key"].to_pylist(), scored["grid"].to_pylist(), strict=True))
    known = [key for key in sorted(rows) if grids.get(key) is not None]
    pixels = np.frombuffer(b"".join(grids[key] for key in known), dtype=np.uint8)
    return [rows[key] for key in known], pixels.reshape(len(known), GRID * GRID * 3).astype(np.float32)


def standardised(columns: Floats) -> Floats:
    """Each column with mean 0 and deviation 1, all scaled so that a row's expected length is one."""
    centred = columns - columns.mean(axis=0, keepdims=True)
    return centred / (centred.std(axis=0, keepdims=True) + 1e-6) / math.sqrt(max(1, columns.shape[1]))


def weighted_words(captions: Sequence[str]) -> Words:
    """The words (tf-idf) that at least two captions and at most a quarter of them hold, the most frequent `MAX_WORDS`."""
    texts = [sorted(set(re.findall(r"[^\W_]+", normalised(caption)))) for caption in captions]
    frequency = Counter(word for text in texts for word in text)
    fit = [word for word, count in frequency.items() if 2 <= count <= max(2, len(texts) // 4)]
    vocabulary = {word: place for place, word in enumerate(sorted(fit, key=lambda word: (-frequency[word], word))[:MAX_WORDS])}
    ids, values = list[NDArray[np.int64]](), list[Floats]()
    for text in texts:
        known = [word for word in text if word in vocabulary]
        weights = np.array([math.log(len(texts) / frequency[word]) for word in known], dtype=np.float32)
        ids.append(np.array([vocabulary[word] for word in known], dtype=np.int64))
        values.append(weights / max(float(np.linalg.norm(weights)), 1e-6))
    return Words(ids, values, len(vocabulary))


def page_fits(pictures: Floats, captions: Sequence[str], pages: Sequence[str]) -> list[PageFit]:
    """For each row: "page_rows"; "rank", the share (0..1) of the page's other captions that fit the picture worse than its own; and
    "page_fit", how many standard deviations better the page's captions fit as they stand than dealt out at random (None where a page has
    too few rows to say). Captions at random have a fit of 0 +- 1 whatever their number."""
    words = weighted_words(captions)
    folds = np.array([zlib.crc32(page.encode()) % FOLDS for page in pages], dtype=np.int64)
    maps = _ridge_by_fold(pictures, words, folds)
    members = defaultdict[str, list[int]](list)
    for row, page in enumerate(pages):
        if page:
            members[page].append(row)
    found: list[PageFit] = [{"page_rows": 0, "rank": None, "page_fit": None} for _ in pages]
    for numbers in members.values():
        rows = np.array(numbers)
        ranks, fit = _fit_of_page(pictures[rows] @ maps[folds[rows[0]]], words.dense(rows))
        for row, rank in zip(numbers, ranks, strict=True):
            found[row] = {"page_rows": len(rows), "rank": rank, "page_fit": fit}
    return found


def _fit_of_page(predicted: Floats, said: Floats) -> tuple[list[float | None], float | None]:
    """The rank of each row, and the page's z-score: the trace of the doubly centred scores over its deviation under permutation."""
    count = len(said)
    if count < 2:
        return [None] * count, None
    lengths = np.linalg.norm(predicted, axis=1, keepdims=True)
    scores = (predicted / np.maximum(lengths, 1e-9)) @ said.T
    ranks = ((scores < np.diag(scores)[:, None]).sum(axis=1) / (count - 1)).tolist()
    centred = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    deviation = math.sqrt(float((centred**2).sum()) / (count - 1))
    return ranks, float(np.trace(centred)) / deviation if deviation > 1e-9 else None


def _ridge_by_fold(pictures: Floats, words: Words, folds: NDArray[np.int64]) -> list[Floats]:
    """For each fold the map [columns, words] from picture to words that was fitted to all other folds; rows are read in blocks."""
    columns = pictures.shape[1]
    gram = np.zeros((FOLDS, columns, columns), dtype=np.float32)
    cross = np.zeros((FOLDS, columns, words.count), dtype=np.float32)
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            gram[fold] += pictures[part].T @ pictures[part]
            cross[fold] += pictures[part].T @ words.dense(part)
    sizes = np.bincount(folds, minlength=FOLDS)
    ridge = np.eye(columns, dtype=np.float32) * RIDGE
    return [
        np.linalg.solve(gram.sum(0) - gram[fold] + ridge * max(1, len(folds) - sizes[fold]), cross.sum(0) - cross[fold]).astype(np.float32)
        for fold in range(FOLDS)
    ]

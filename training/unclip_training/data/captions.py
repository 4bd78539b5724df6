"""Captions of a set: which of a pair's captions is learned at a step, and which of its words are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Generator = np.random.Generator


@dataclass(frozen=True)
class CaptionTable:
    """All captions of N pairs. `texts` are the different ones; those of pair i are the rows `rows[first[i] : first[i] + counts[i]]`."""

    texts: list[str]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    counts: NDArray[np.int64]

    def drawn(self, pairs: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """The row of one caption of each of these pairs; `shares` in [0, 1) say which, all captions of a pair being equally likely."""
        return self.rows[self.first[pairs] + (shares * self.counts[pairs]).astype(np.int64)]


def caption_table(captions_of: Sequence[Sequence[str]]) -> CaptionTable:
    """The table of these pairs' captions."""
    row_of: dict[str, int] = {}
    rows = [row_of.setdefault(text, len(row_of)) for captions in captions_of for text in captions]
    counts = np.array([len(captions) for captions in captions_of], np.int64)
    return CaptionTable(list(row_of), np.array(rows, np.int64), np.cumsum(counts) - counts, counts)


def without_words(text: str, share: float, generator: Generator) -> str:
    """The text with each word left out with this probability; one word always stays."""
    words = text.split()
    stays = generator.random(len(words)) >= share
    if len(words) > 0 and not stays.any():
        stays[generator.integers(len(words))] = True
    return " ".join(word for word, kept in zip(words, stays, strict=True) if kept)

"""What an operator brings and a benchmark lacks, so that every scorer of `benchmarks/score.py` has something to do.

Nobody's face and nobody's taste: an enrolled identity that is a random direction, and an aesthetic probe that is another, in the space of
mean colours. What the scorers do with them costs what it costs with real ones.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow.parquet import read_table
from safetensors.numpy import save_file

from unclip_curation.decisions.verdicts import decide
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.policy import load_policy
from unclip_curation.scorers.aesthetic import PROBE
from unclip_curation.scorers.identities import Identity, write_gallery
from unclip_curation.scorers.registry import score
from unclip_pairs.store import Store


class MeanColours:
    """An embedder whose space is the mean colour."""

    dim, digest = 3, "ab" * 32

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.mean(axis=(1, 2)).astype(np.float32) + 1

    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 3), np.float32)


def bring(store: Store, key_file: Path) -> None:
    """Enrols the identity (its key lies outside the store), embeds all pairs, puts the probe there and decides the rule stage."""
    chance = np.random.default_rng(0)
    vector = chance.normal(size=(1, 128)).astype(np.float32)
    write_gallery(store, [Identity("nobody", "00000000", vector / np.linalg.norm(vector))], key_file)
    embed_pairs(store, "a", MeanColours(), set(read_table(store.path("crawl/a/rows.parquet"), columns=["key"])["key"].to_pylist()))
    with store.writing(PROBE) as part:
        save_file(
            {"weight": chance.normal(size=3).astype(np.float32), "bias": np.zeros(1, np.float32)}, part, {"embedder": MeanColours.digest}
        )
    score(store, "a", ["picture", "caption"])
    decide(store, "rule", load_policy())

"""Which pictures to ask about next: those that the probe is unsure of, spread over different kinds of picture."""

import numpy as np
from numpy.typing import NDArray

from unclip_curation.scorers.probes import Array

SHORTLIST = 5  # so many times as many candidates as are asked about
LIKELY, RANDOM = 0.4, 0.1


def choose(raw: Array, vectors: NDArray[np.float32], labelled: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """The rows to ask about, `count` or all when there are fewer: four tenths of those that look most like the category, one tenth drawn
    at random, the others nearest to the boundary; among each sort, those least like what is labelled or chosen already.

    `raw` are decision values, `vectors` [rows, dim] and `labelled` [some, dim] of length one.
    """
    count = min(count, len(raw))
    rng, chosen = np.random.default_rng(seed), list[int]()
    likely, by_chance = round(LIKELY * count), round(RANDOM * count)
    for order, number in ((np.argsort(-raw, kind="stable"), likely), (np.argsort(np.abs(raw), kind="stable"), count - likely - by_chance)):
        fresh = order[~np.isin(order, chosen)][: SHORTLIST * number]
        chosen += spread(vectors, fresh, np.concatenate([labelled, vectors[chosen]]), number)
    rest = np.setdiff1d(np.arange(len(raw)), chosen)
    return np.array([*chosen, *rng.permutation(rest)[: count - len(chosen)]], dtype=np.int64)


def spread(vectors: NDArray[np.float32], rows: NDArray[np.int64], taken: NDArray[np.float32], count: int) -> list[int]:
    """At most `count` of the rows, each the one least like all that are taken (greedy k-center; Sener and Savarese, 2018)."""
    chosen = list[int]()
    nearest = (vectors[rows] @ taken.T).max(axis=1) if len(taken) else np.zeros(len(rows))
    for _ in range(min(count, len(rows))):
        place = int(nearest.argmin())
        chosen.append(int(rows[place]))
        nearest = np.maximum(nearest, vectors[rows] @ vectors[rows[place]])
        nearest[place] = np.inf
    return chosen

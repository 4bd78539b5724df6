"""Program that does one step of a small run in a home, as the assets do it, and prints when its work begins; `kills.py` kills it.

python step.py HOME STEP [SEED_ADDRESS]
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings import embedding
from unclip_curation.embeddings.embedding import embed_pairs, squares
from unclip_curation.policy import Policy, load_policy
from unclip_curation.publishing.publish import publish
from unclip_curation.scorers import registry, runner
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.scorers.explicit import SAFETY
from unclip_curation.scorers.faces import FACES
from unclip_pairs.home import open_store
from unclip_pairs.store import Store

BATCH = "kills"
runner.PIECE_SIZE = embedding.PIECE_SIZE = 16


class Colours:
    """An embedder that needs no weights: a picture is 4 x 4 mean colours, a caption the mean of its bytes. Costs little, so that the kills
    meet what is being written rather than a network."""

    digest = "c010" * 16
    dim = 48

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.reshape(len(batch), 4, 16, 4, 16, 3).mean(axis=(2, 4)).reshape(len(batch), -1).astype(np.float32) + 1

    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[sum(text.encode()) / max(1, len(text))] * self.dim for text in texts], dtype=np.float32)


FOLDER = Colours.digest[:8]


def lax() -> Policy:
    """An older policy, so that deciding replaces verdicts that are there."""
    policy = load_policy()
    return Policy(policy.settings | {"max_characters": 300}, policy.sql)


def do_crawl(store: Store, seed: str) -> None:
    settings = CrawlSettings(
        batch=BATCH,
        contact="me@example.org",
        seeds=(seed,),
        allow_loopback=True,
        delay_s=0.0,
        concurrency_per_host=4,
        timeout_s=5.0,
        retries=0,
        shard_size=32,
    )
    crawl(store, settings)


def do_score(store: Store) -> None:
    registry.score(store, BATCH, ["picture", "quality", "caption", "wording"])
    rows = read_table(store.path(f"crawl/{BATCH}/rows.parquet"), columns=["key", "status"]).to_pylist()
    runner.score_together(store, BATCH, [SAFETY, FACES], {row["key"] for row in rows if row["status"] == "ok"})
    registry.score(store, BATCH, ["blocklist"])


def do_decide(store: Store, policy: Policy | None = None) -> None:
    policy = policy or load_policy()
    decide(store, "rule", policy)
    score_agreement(store)
    decide(store, "safety", policy)


def do_dedupe(store: Store, policy: Policy | None = None) -> None:
    policy = policy or load_policy()
    embed_pairs(store, BATCH, Colours(), prepare=squares(64))
    find_duplicates(store, FOLDER)
    decide(store, "duplicate", policy)
    decide(store, "final", policy, FOLDER)


def do_publish(store: Store) -> None:
    publish(store, load_policy(), None, FOLDER)


def do_older(store: Store) -> None:
    """What an older policy decided, before the step `decide` replaces it."""
    do_decide(store, lax())


STEPS = {"score": do_score, "older": do_older, "decide": do_decide, "dedupe": do_dedupe, "publish": do_publish}


def main() -> None:
    home, step, *seed = sys.argv[1:]
    store = open_store(home)
    print("began", flush=True)
    if step == "crawl":
        do_crawl(store, *seed)
    else:
        STEPS[step](store)


if __name__ == "__main__":
    main()

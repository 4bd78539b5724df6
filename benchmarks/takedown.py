"""What is left of 100 pairs that were taken down?

The smoke demo is told in a home of its own: a site is crawled, curated and published, networks are trained on it and registered. Then
100 published pairs are taken down: those of the smaller host by its name, the others by key, address and hash in turn. Counted are those
that search still shows, that the next dataset version still holds and that a second crawl of the same site still stores, and whether
every network and the registered model are named as having learned.

    python benchmarks/takedown.py [--home HOME]      # minutes; HOME may hold a finished smoke demo, and is used up
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from pyarrow.parquet import read_table

from unclip_assets.pointers import present
from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_curation.decisions.checks import published
from unclip_curation.decisions.ground_truth import starter_labels
from unclip_curation.decisions.verdicts import decide
from unclip_curation.policy import load_policy
from unclip_curation.publishing.publish import publish
from unclip_curation.search.retrieval import SearchQuery, search
from unclip_curation.search.visibility import Visibility
from unclip_curation.splits import SPLITS
from unclip_pairs.home import open_store
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns
from unclip_server.search.clip_retrieval_engine import best_engine
from unclip_starter.web import PlantedWeb

PORT = 8761
WANTED = 100
STAGES = ("clip", "prior", "decoder", "upsampler_256", "upsampler_1024", "judge")


def unclip(home: Path, *arguments: str) -> str:
    """What the command says."""
    command = [sys.executable, "-c", "from unclip_orchestration.cli import main; main()", "--home", str(home), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def chosen(store: Store) -> tuple[set[str], list[str]]:
    """100 published keys, and the options that name them: one host, then keys, addresses and hashes in turn."""
    rows = {row["key"]: row for row in read_table(store.path("crawl/starter/rows.parquet")).to_pylist()}
    keys = published(store, present(store, "training_shards").name, "train", "key")
    hosts = Counter(rows[key]["host"] for key in keys)
    small = min(hosts, key=lambda host: hosts[host]) if len(hosts) > 1 else None
    by_host = [key for key in keys if rows[key]["host"] == small]
    one_by_one = [key for key in keys if rows[key]["host"] != small][: WANTED - len(by_host)]
    options = ["--host", small] if small else []
    for number, key in enumerate(one_by_one):
        kind, value = (("--key", key), ("--url", rows[key]["url"]), ("--hash", rows[key]["sha256"]))[number % 3]
        options += [kind, value]
    return {*by_host, *one_by_one}, options


class Searcher:
    """The service that `unclip serve search` runs, begun once before anything is taken down."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, f"embeddings/{present(store, 'clip_embeddings').name}"
        self.engine, self.visibility = best_engine(store, self.folder), Visibility(store)
        print(f"searched with {self.engine.about}")

    def still_shown(self, keys: set[str]) -> int:
        """How many of the keys a search with any of their own embeddings still shows."""
        folder = f"{self.folder}/starter"
        table = read_table(self.store.path(f"{folder}/metadata/metadata_0.parquet"), columns=["key"])["key"].to_pylist()
        vectors = np.load(self.store.path(f"{folder}/img_emb/img_emb_0.npy"), allow_pickle=False)
        asked = [vector for key, vector in zip(table, vectors, strict=True) if key in keys]
        shown = {row["key"] for vector in asked for row in search(self.engine, self.visibility, vector, SearchQuery(count=5))}
        return len(shown & keys)


def stored_again(store: Store, keys: set[str]) -> int:
    """How many of the keys a second crawl of the same site stores."""
    with PlantedWeb(store, PORT) as web:
        limits = {"delay_s": 0.0, "concurrency_per_host": 32, "timeout_s": 5.0, "retries": 0}
        crawl(store, CrawlSettings(batch="again", contact="me@example.org", seeds=tuple(web.seeds), allow_loopback=True, **limits))
    rows = read_table(store.path("crawl/again/rows.parquet"), columns=["key", "status"]).to_pylist()
    stored = {row["key"] for row in rows if row["status"] == "ok"}
    assert stored, "the second crawl stored nothing at all, so it proves nothing"
    return len(stored & keys)


def published_again(store: Store, keys: set[str]) -> int:
    """How many of the keys the next dataset version holds."""
    policy, embeddings = load_policy(), present(store, "clip_embeddings").name
    for stage in ("rule", "safety", "duplicate", "final"):
        decide(store, stage, policy, embeddings if stage == "final" else None)
    version = str(publish(store, policy, starter_labels(store), embeddings).settings["version"])
    assert version != present(store, "training_shards").name
    return len({key for split in SPLITS for key in published(store, version, split, "key")} & keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home with a finished smoke demo on port 8761; a new one when left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        unclip(home, "demo", "--size", "smoke", "--port", str(PORT))
        store = open_store(home)
        keys, named = chosen(store)
        searcher = Searcher(store)
        assert searcher.still_shown(keys) == len(keys) == WANTED
        said = unclip(home, "data", "takedown", *named, "--reason", "benchmark")
        assert keys <= read_takedowns(store).keys
        print(f"figure takedown_asked {len(keys)} pairs")
        print(f"figure takedown_gone_from_search {len(keys) - searcher.still_shown(keys)} pairs")
        print(f"figure takedown_gone_from_next_version {len(keys) - published_again(store, keys)} pairs")
        print(f"figure takedown_not_crawled_again {len(keys) - stored_again(store, keys)} pairs")
        told = [stage for stage in STAGES if f"model {stage}/" in said]
        print(f"figure takedown_networks_named {len(told)} of {len(STAGES)}")
        print(f"figure takedown_registered_models_named {said.count('registered model')}")


if __name__ == "__main__":
    main()

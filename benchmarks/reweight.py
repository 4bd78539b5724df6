"""Do the weights put back the mix that a filter skewed?

A filter is planted that removes 60 % of one group of pictures (by default those of people, at random within the group). The classifier
sees what it sees in a store, captions and embeddings of pictures (here frozen MobileNetV2 features of the starter corpus), and is not
told the group, which no caption names. Claimed: by weight, the group's share comes back to within 2 points of its share before the filter.
The effective sample size says what that costs.

    python benchmarks/reweight.py [--group people] [--removed 0.6] [--seeds 5] [--folder FOLDER]
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.decisions.reweighting import described, restore_mix
from unclip_pairs.home import open_store
from unclip_pairs.images import decode, fit_square, to_array
from unclip_starter.build import FULL, build_starter
from unclip_training.judging.mobilenet import SIDE, features

Vectors = NDArray[np.float32]


def corpus(folder: Path) -> tuple[Vectors, list[str], list[str]]:
    """Features float32 [pictures, 1280] of length one, captions and groups; made once, then read from `folder`."""
    store = open_store(folder)
    build_starter(store, FULL)
    routes = json.loads(store.read_bytes("starter/site/site.json"))["routes"]
    truth = read_table(store.path("starter/truth.parquet")).to_pylist()
    rows = [row for row in truth if row["concept"] and not row["planted"] and routes[row["url_path"]]["file"]]
    groups = [str(json.loads(row["attributes"])["group"]) for row in rows]
    if not store.exists("features.npy"):
        paths = [store.path(f"starter/site/{routes[row['url_path']]['file']}") for row in rows]
        parts = [
            features(np.stack([to_array(fit_square(decode(path.read_bytes()), SIDE)) for path in paths[start : start + 64]]))
            for start in range(0, len(paths), 64)
        ]
        with store.writing("features.npy") as path, path.open("wb") as file:
            np.save(file, np.concatenate(parts), allow_pickle=False)
    vectors = np.load(store.path("features.npy"), allow_pickle=False)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [str(row["caption"]) for row in rows], groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", default="people", help="the group that the planted filter hits")
    parser.add_argument("--removed", type=float, default=0.6, help="the share of the group that it removes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the corpus is kept for the next run; a temporary folder when left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        vectors, captions, groups = corpus(options.folder or Path(temporary))
    member = np.array([group == options.group for group in groups])
    print(f"figure reweight_share_before {100 * member.mean():.2f} %")
    worst = 0.0
    for seed in range(options.seeds):
        stays = ~(member & (np.random.default_rng(seed).random(len(member)) < options.removed))
        mix = restore_mix(described(captions, vectors), stays, seed=seed)
        restored = mix.weights[member].sum() / mix.weights.sum()
        worst = max(worst, abs(restored - member.mean()))
        print(
            f"seed {seed}: share after the filter {100 * member[stays].mean():.2f} %, reweighted {100 * restored:.2f} %,"
            f" effective {mix.effective:.0f} of {stays.sum()} rows, area under the curve {mix.auc:.3f}"
        )
        print(f"figure reweight_effective_share_seed_{seed} {100 * mix.effective / stays.sum():.1f} %")
    print(f"figure reweight_worst_difference {100 * worst:.2f} points")


if __name__ == "__main__":
    main()

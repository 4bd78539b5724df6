"""Is the validation loss after a few steps on a few new pairs lower when a training begins with a bundle's weights than with random ones?

The new pairs are those that the bundle's dataset version holds out or sets apart for validation: no network of the bundle learned from
them. Of these, `--pairs` are learned from and the others measured, by the same recipe, seed and steps twice: `--from` the bundle, and
from nothing. Everything is written to a temporary folder; the home is only read.

`python benchmarks/fine_tune.py HOME` (about two minutes) needs a home that `make demo` filled.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from unclip_pairs.home import open_store
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.pointers import find
from unclip_pairs.shards import Sample, read_shard, shard_names, write_shard
from unclip_pairs.store import Store
from unclip_training.fit import Launch, fit
from unclip_training.recipes.register import recipe_named

VERSION = "v-new"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="a home that `make demo` filled")
    parser.add_argument("--recipe", default="decoder_tiny", help="a recipe of a stage that is conditioned on CLIP")
    parser.add_argument("--pairs", type=int, default=200, help="new pairs to learn from; all others are for validation")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    home = open_store(options.home)
    bundle = home.folder(f"bundles/{pointed(home, 'bundle')}")
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        count = publish(store, new_samples(home), options.pairs)
        print(f"{options.pairs} new pairs to learn from, {count - options.pairs} for validation, {options.steps} steps of {options.recipe}")
        clip = f"models/clip/{pointed(home, 'clip_model')}"
        store.folder("models/clip").mkdir(parents=True)
        store.folder(clip).symlink_to(home.folder(clip))
        loss = {name: trained(store, name, clip, options, begin) for name, begin in (("nothing", None), ("bundle", str(bundle)))}
    print(f"figure validation_loss_from_nothing {loss['nothing']:.4f}")
    print(f"figure validation_loss_from_bundle {loss['bundle']:.4f}")
    print(f"ratio fine_tuning {loss['bundle'] / loss['nothing']:.2f}")


def pointed(home: Store, step: str) -> str:
    """The name of what the step last finished."""
    pointer = find(home, step)
    if pointer is None:
        raise SystemExit(f"HOME has no finished {step}; run `make demo` to its end first")
    return pointer.name


def new_samples(home: Store) -> Iterator[Sample]:
    """The pairs that no network of the home has learned from."""
    version = pointed(home, "training_shards")
    for split in ("held_out", "validation"):
        for shard in shard_names(home, f"datasets/{version}/{split}-"):
            yield from read_shard(home, shard)


def publish(store: Store, samples: Iterator[Sample], pairs: int) -> int:
    """A dataset version of these samples, `pairs` of them drawn for training; gives how many there are."""
    known = {str(sample["__key__"]): sample for sample in samples}
    keys = [str(key) for key in np.random.default_rng(0).permutation(sorted(known))]
    if len(keys) <= pairs:
        raise SystemExit(f"--pairs is {pairs}, but the home has {len(keys)} new pairs; leave some for validation")
    names: list[str] = []
    for split, chosen in (("train", keys[:pairs]), ("validation", keys[pairs:])):
        names.append(f"datasets/{VERSION}/{split}-00000")
        rows = pa.table({"key": chosen, "caption": [bytes(known[key]["txt"]).decode() for key in chosen]})
        write_shard(store, names[-1], [known[key] for key in chosen], rows)
    tars = [f"{name}.tar" for name in names]
    write_manifest(store, f"datasets/{VERSION}/manifest.json", make_manifest(store, "dataset", tars, settings={"version": VERSION}))
    return len(keys)


def trained(store: Store, name: str, clip: str, options: argparse.Namespace, begin_from: str | None) -> float:
    """The validation loss at the end of the training."""
    run = replace(recipe_named(options.recipe), steps=options.steps, keep_best=False, views=0)
    launch = Launch(dataset=VERSION, name=name, clip=clip, begin_from=begin_from, track=False)
    fit(store, run, launch)
    metrics = store.read_json(f"models/{run.stage}/{name}/metrics.json")
    return float(metrics["final"]["validation_loss"])


if __name__ == "__main__":
    main()

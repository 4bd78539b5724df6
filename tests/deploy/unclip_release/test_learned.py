"""The walk forward: who learned from a pair."""

from collections.abc import Callable

import pyarrow as pa

from unclip_pairs.manifest import Manifest
from unclip_pairs.shards import write_parquet, write_shard
from unclip_pairs.store import Store
from unclip_release.bundle import write_bundle
from unclip_release.learned import learned_from
from unclip_release.registry import open_registry

Train = Callable[..., dict[str, str]]


def test_everything_that_learned_from_a_pair_is_named(registered_store: Store, train: Train) -> None:
    rows = pa.table({"key": ["k1", "k2"]})
    write_shard(registered_store, "datasets/v-000000000001/train-00000", [], rows)
    bundle: Manifest = write_bundle(registered_store, train(registered_store), policy_version="p1")
    write_parquet(registered_store, "verdicts/final.parquet", pa.table({"key": ["k1"], "keep": [False]}))
    registry = open_registry(registered_store)
    good = {"concept_hit_rate": 0.40, "style_hit_rate": 0.90, "clip_score_judge": 0.30, "frechet_mnv2": 20.0}
    registry.register(bundle, good | {"nearest_train": {"share_above_0.97": 0.1}, "explicit_pictures": 0})
    told = learned_from(registered_store, registry, {"k1", "elsewhere"})
    assert told[0] == "dataset v-000000000001: 1 of the pairs"
    assert any(line.startswith("model decoder/") for line in told) and any(line.startswith("bundle ") for line in told)
    assert any(line.startswith("registered model unclip/1") for line in told)
    assert [line for line in learned_from(registered_store, registry, {"elsewhere"}) if "may have learned" not in line] == []

"""Second half of curation: duplicates, and the immutable set that is trained on."""

from typing import Any

import dagster as dg

from unclip_assets import leak_checks, previews
from unclip_assets.clip import clip_embeddings
from unclip_assets.curate import DATA, WHEN_ALL_IS_WELL
from unclip_assets.pointers import point, present
from unclip_assets.resources import Home
from unclip_assets.timing import Timer
from unclip_curation.decisions import ground_truth, verdicts
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.policy import load_policy
from unclip_curation.publishing import publish
from unclip_pairs.manifest import read_manifest
from unclip_pairs.shards import shard_names


@dg.asset(group_name="duplicates", kinds={"duckdb", "faiss"}, owners=DATA, deps=[clip_embeddings])
def duplicate_verdicts(home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """Which pictures say the same thing, exactly, to the eye or to CLIP; one representative of each cluster is kept."""
    store, policy = home.store(), load_policy(None)
    with timer.step("dedupe") as step:
        embeddings = present(store, "clip_embeddings").name
        find_duplicates(store, embeddings)
        verdicts.decide(store, "duplicate", policy)
        leak_checks.compare(store, embeddings)
        manifest = verdicts.decide(store, "final", policy, embeddings)
    return previews.made(step, manifest, **previews.counted("reasons", verdicts.counts(store, "final")))


@dg.asset(group_name="publish", kinds={"webdataset"}, owners=DATA, deps=[duplicate_verdicts])
def training_shards(home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """The published set: immutable shards of pictures, captions and embeddings, named by what they were made from."""
    store = home.store()
    with timer.step("publish") as step:
        embeddings = present(store, "clip_embeddings").name
        manifest = publish.publish(store, load_policy(None), ground_truth.starter_labels(store), embeddings=embeddings)
    version = str(manifest.settings["version"])
    point(store, "training_shards", version, manifest.digest)
    return previews.made(step, manifest, version=version, **previews.shard_sheet(store, shard_names(store, f"datasets/{version}/")))


@dg.asset(group_name="publish", kinds={"markdown"}, owners=DATA, deps=[training_shards], automation_condition=WHEN_ALL_IS_WELL)
def data_card(home: Home) -> dg.MaterializeResult[Any]:
    """What is in the published set, where it came from, under which licences, and what was left out and why."""
    store = home.store()
    folder = f"datasets/{present(store, 'training_shards').name}"
    manifest, card = read_manifest(store, f"{folder}/manifest.json"), store.read_bytes(f"{folder}/card.md").decode()
    counts = previews.numbers(manifest.counts) if manifest else {}
    return dg.MaterializeResult(metadata={"card": dg.MetadataValue.md(card), **counts})

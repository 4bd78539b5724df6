"""Second half of curation: duplicates, and the immutable set that is trained on."""

import dagster as dg

from unclip_assets.clip import clip_embeddings
from unclip_assets.curate import DATA, WHEN_ALL_IS_WELL
from unclip_assets.curation import EMBEDDED, curation_of
from unclip_assets.pointers import present
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import CurationPolicy, Home
from unclip_curation.decisions import ground_truth, verdicts
from unclip_curation.pipeline import run_steps
from unclip_curation.publishing import publish
from unclip_pairs.manifest import read_manifest
from unclip_pairs.pointers import point
from unclip_pairs.shards import shard_names


@dg.asset(group_name="duplicates", kinds={"duckdb", "faiss"}, owners=DATA, deps=[clip_embeddings])
def duplicate_verdicts(home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """Which pictures say the same thing, exactly, to the eye or to CLIP, and which show an evaluation picture; one of each cluster is kept.

    These are the steps of the pipeline after `clip_embeddings`, up to the final verdicts.
    """
    with timer.step("dedupe") as step:
        present(home.store(), "clip_embeddings")
        manifest = run_steps(curation_of(home, policy, embedded=True), EMBEDDED)
    return previews.made(step, manifest, **previews.counted("reasons", verdicts.counts(home.store(), "final")), **policy.metadata())


@dg.asset(group_name="publish", kinds={"webdataset"}, owners=DATA, deps=[duplicate_verdicts])
def training_shards(home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The published set: immutable shards of pictures, captions and embeddings, named by what they were made from."""
    store = home.store()
    with timer.step("publish") as step:
        embeddings = publish.decided_embeddings(store)
        manifest = publish.publish(store, policy.load(), ground_truth.starter_labels(store), embeddings=embeddings)
    version = str(manifest.settings["version"])
    point(store, "training_shards", version, manifest.digest)
    sheet = previews.shard_sheet(store, shard_names(store, f"datasets/{version}/"))
    return previews.made(step, manifest, version=version, **policy.metadata(), **sheet)


@dg.asset(group_name="publish", kinds={"markdown"}, owners=DATA, deps=[training_shards], automation_condition=WHEN_ALL_IS_WELL)
def data_card(home: Home, policy: CurationPolicy) -> previews.Materialized:
    """What is in the published set, where it came from, under which licences, and what was left out and why."""
    store = home.store()
    folder = f"datasets/{present(store, 'training_shards').name}"
    manifest, card = read_manifest(store, f"{folder}/manifest.json"), store.read_bytes(f"{folder}/card.md").decode()
    counts = previews.numbers(manifest.counts) if manifest else {}
    return dg.MaterializeResult(metadata={"card": dg.MetadataValue.md(card), **counts, **policy.metadata()})

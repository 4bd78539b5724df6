"""First half of curation: scores beside the shards, and verdicts in SQL on what may be learned at all."""

from typing import Any

import dagster as dg

from unclip_assets import previews
from unclip_assets.crawl import raw_shards
from unclip_assets.partitions import crawl_batches
from unclip_assets.pointers import point
from unclip_assets.resources import Home
from unclip_assets.timing import Timer
from unclip_curation.decisions import ground_truth, verdicts
from unclip_curation.policy import load_policy
from unclip_curation.scorers import explicit, identities, registry
from unclip_curation.scorers.caption_agreement import score_agreement

DATA = ["team:data"]
SAFETY = ["team:safety"]
WHEN_ALL_IS_WELL = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


@dg.asset(group_name="rules", kinds={"parquet", "numpy"}, owners=DATA, partitions_def=crawl_batches, deps=[raw_shards])
def picture_features(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """What can be measured on a picture alone: size, shape, blankness, blur, JPEG's traces, SHA-256 and perceptual hashes."""
    with timer.step("score") as step:
        manifest, _ = registry.score(home.store(), context.partition_key, ["picture", "quality"], home.engine(), step.progress)
    return previews.made(step, manifest)


@dg.asset(group_name="rules", kinds={"parquet"}, owners=DATA, partitions_def=crawl_batches, deps=[raw_shards])
def caption_features(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """What can be measured on a caption alone: length, language, personal data, boilerplate, repetition."""
    with timer.step("score") as step:
        manifest, _ = registry.score(home.store(), context.partition_key, ["caption", "wording"], home.engine())
    return previews.made(step, manifest)


@dg.asset(
    group_name="rules", kinds={"duckdb"}, owners=DATA, deps=[picture_features, caption_features], automation_condition=WHEN_ALL_IS_WELL
)
def rule_verdicts(home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """One row per crawled address: kept or not by the plain rules, and why."""
    store = home.store()
    with timer.step("decide") as step:
        manifest = verdicts.decide(store, "rule", load_policy(None))
    return previews.made(step, manifest, **previews.counted("reasons", verdicts.counts(store, "rule")))


@dg.asset(group_name="safety", kinds={"onnx", "parquet"}, owners=SAFETY, partitions_def=crawl_batches, deps=[rule_verdicts])
def safety_features(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """How explicit a picture is, by two models that ship their weights, and whether it is on the block list."""
    with timer.step("score") as step:
        manifest = explicit.score_safety(home.store(), context.partition_key, workers=home.engine(), progress=step.progress)
    return previews.made(step, manifest)


@dg.asset(group_name="safety", kinds={"onnx", "parquet"}, owners=SAFETY, partitions_def=crawl_batches, deps=[safety_features])
def face_features(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """Faces, drawn or photographed, found while the explicit-picture networks looked; and whether they are enrolled identities."""
    store, batch = home.store(), context.partition_key
    with timer.step("score") as step:
        manifest = registry.score(store, batch, ["faces", *(["identities"] if identities.gallery_digest(store) else [])])[0]
    return previews.made(step, manifest)


@dg.asset(group_name="safety", kinds={"numpy"}, owners=DATA, deps=[safety_features])
def caption_agreement(home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """How well each caption fits its picture, judged by a model that was fitted on other pairs."""
    with timer.step("score") as step:
        manifest = score_agreement(home.store())
    return previews.made(step, manifest)


@dg.asset(
    group_name="safety",
    kinds={"duckdb"},
    owners=SAFETY,
    deps=[caption_agreement, safety_features, face_features],
    automation_condition=WHEN_ALL_IS_WELL,
)
def safety_verdicts(home: Home, timer: dg.ResourceParam[Timer]) -> dg.MaterializeResult[Any]:
    """The broad, safe set: what the rules kept, less what is explicit or misnamed. CLIP learns from this."""
    store = home.store()
    with timer.step("decide") as step:
        manifest = verdicts.decide(store, "safety", load_policy(None))
        labels = ground_truth.starter_labels(store)
        if labels is not None:
            ground_truth.hold_out(store, labels)
    point(store, "safety_verdicts", "safe", manifest.digest)
    return previews.made(step, manifest, **previews.counted("reasons", verdicts.counts(store, "safety")))

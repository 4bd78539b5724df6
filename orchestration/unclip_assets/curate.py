"""First half of curation: scores beside the shards, and verdicts in SQL on what may be learned at all.

Each asset is the step of `unclip_curation.pipeline` that has its name.
"""

import dagster as dg

from unclip_assets.crawl import raw_shards
from unclip_assets.curation import curation_of
from unclip_assets.partitions import crawl_batches
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import TimedStep, Timer
from unclip_assets.resources import CurationPolicy, Home
from unclip_curation.decisions import verdicts
from unclip_curation.pipeline import run_step

DATA = ["team:data"]
SAFETY = ["team:safety"]
WHEN_ALL_IS_WELL = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


def _scored(timed: TimedStep, home: Home, policy: CurationPolicy, step: str, batch: str = "") -> previews.Materialized:
    return previews.made(timed, run_step(step, curation_of(home, policy), batch, timed.progress))


def _decided(timed: TimedStep, home: Home, policy: CurationPolicy, step: str, stage: str) -> previews.Materialized:
    manifest = run_step(step, curation_of(home, policy))
    return previews.made(timed, manifest, **previews.counted("reasons", verdicts.counts(home.store(), stage)), **policy.metadata())


@dg.asset(group_name="rules", kinds={"parquet", "numpy"}, owners=DATA, partitions_def=crawl_batches, deps=[raw_shards])
def picture_features(
    context: dg.AssetExecutionContext, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]
) -> previews.Materialized:
    """What can be measured on a picture alone: size, shape, blankness, blur, JPEG's traces, SHA-256 and perceptual hashes."""
    with timer.step("score") as step:
        return _scored(step, home, policy, "picture_features", context.partition_key)


@dg.asset(group_name="rules", kinds={"parquet"}, owners=DATA, partitions_def=crawl_batches, deps=[raw_shards])
def caption_features(
    context: dg.AssetExecutionContext, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]
) -> previews.Materialized:
    """What can be measured on a caption alone: length, language, personal data, boilerplate, repetition."""
    with timer.step("score") as step:
        return _scored(step, home, policy, "caption_features", context.partition_key)


@dg.asset(
    group_name="rules", kinds={"duckdb"}, owners=DATA, deps=[picture_features, caption_features], automation_condition=WHEN_ALL_IS_WELL
)
def rule_verdicts(home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """One row per crawled address: kept or not by the plain rules, and why."""
    with timer.step("decide") as step:
        return _decided(step, home, policy, "rule_verdicts", "rule")


@dg.asset(group_name="safety", kinds={"onnx", "parquet"}, owners=SAFETY, partitions_def=crawl_batches, deps=[rule_verdicts])
def safety_features(
    context: dg.AssetExecutionContext, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]
) -> previews.Materialized:
    """How explicit a picture is, by two models that ship their weights, and whether it is on the block list."""
    with timer.step("score") as step:
        return _scored(step, home, policy, "safety_features", context.partition_key)


@dg.asset(group_name="safety", kinds={"onnx", "parquet"}, owners=SAFETY, partitions_def=crawl_batches, deps=[safety_features])
def face_features(
    context: dg.AssetExecutionContext, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]
) -> previews.Materialized:
    """Faces, drawn or photographed, found while the explicit-picture networks looked; and whether they are enrolled identities."""
    with timer.step("score") as step:
        return _scored(step, home, policy, "face_features", context.partition_key)


@dg.asset(group_name="safety", kinds={"numpy"}, owners=DATA, deps=[safety_features])
def caption_agreement(home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """How well each caption fits its picture, judged by a model that was fitted on other pairs."""
    with timer.step("score") as step:
        return _scored(step, home, policy, "caption_agreement")


@dg.asset(
    group_name="safety",
    kinds={"duckdb"},
    owners=SAFETY,
    deps=[caption_agreement, safety_features, face_features],
    automation_condition=WHEN_ALL_IS_WELL,
)
def safety_verdicts(home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The broad, safe set: what the rules kept, less what is explicit or misnamed. CLIP learns from this."""
    with timer.step("decide") as step:
        return _decided(step, home, policy, "safety_verdicts", "safety")

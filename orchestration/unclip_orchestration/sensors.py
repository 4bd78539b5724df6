"""Sensors. All are shipped stopped; one click starts them."""

import dagster as dg

from unclip_assets import candidates
from unclip_assets.crawl import raw_shards
from unclip_assets.resources import Home
from unclip_orchestration import jobs


@dg.asset_sensor(asset_key=raw_shards.key, job=jobs.curate, default_status=dg.DefaultSensorStatus.STOPPED, name="new_pairs")
def new_pairs(context: dg.SensorEvaluationContext, event: dg.EventLogEntry) -> dg.RunRequest | dg.SkipReason:
    """A batch was crawled: curate it."""
    materialization = event.asset_materialization
    if materialization is None or materialization.partition is None:
        return dg.SkipReason("the pictures came without a batch")
    return dg.RunRequest(run_key=f"{materialization.partition}/{event.run_id}", partition_key=materialization.partition)


@dg.sensor(default_status=dg.DefaultSensorStatus.STOPPED, minimum_interval_seconds=60, name="champion_moved")
def champion_moved(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
    """The alias moved, by promotion or by rollback, from here or from a command line: the asset graph shows which version is served."""
    version = candidates.champion(home.store(), home.tracking_uri)
    if version is None or version.label == context.cursor:
        return dg.SkipReason("the champion has not moved")
    event = dg.AssetObservation("champion", metadata={"version": version.label, "digest": version.digest, "bundle": version.bundle})
    return dg.SensorResult(asset_events=[event], cursor=version.label)


decisions = dg.AutomationConditionSensorDefinition(
    "decisions",
    target=dg.AssetSelection.assets("rule_verdicts", "safety_verdicts", "data_card"),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Declarative automation: whenever features or shards change and their checks pass, decide anew; a decision costs seconds.",
)

ALL = [new_pairs, champion_moved, decisions]

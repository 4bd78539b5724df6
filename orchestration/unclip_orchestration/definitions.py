"""What Dagster loads. The modules are named, so that a reader finds every asset from here."""

from collections.abc import Mapping

import dagster as dg

from unclip_assets import bundle, checks, clip, crawl, curate, evaluate, publish, release, train
from unclip_assets.resources import resources_for
from unclip_assets.settings import read_environment
from unclip_orchestration import jobs, schedules, sensors

MODULES = [crawl, curate, clip, publish, train, bundle, evaluate, release]


def build(resources: Mapping[str, object]) -> dg.Definitions:
    """Every asset, check, job, schedule and sensor, with these resources."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(MODULES),
        asset_checks=checks.ALL,
        jobs=jobs.ALL,
        schedules=schedules.ALL,
        sensors=sensors.ALL,
        resources=resources,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions for the deployment that the environment names; it is read when Dagster asks, not at import."""
    return build(resources_for(read_environment()))

"""Release assets: the candidate in the registry, and the champion that is served."""

import dagster as dg

from unclip_assets import candidates
from unclip_assets.bundle import bundle
from unclip_assets.evaluate import evaluation
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import CurationPolicy, GateThresholds, Home, policy_files

RELEASE = ["team:release"]


@dg.asset(group_name="release", kinds={"mlflow"}, owners=RELEASE, deps=[bundle, evaluation])
def release_candidate(home: Home, policy: CurationPolicy, gates: GateThresholds, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The bundle as a version of the registered model, with its figures and the gates' words as tags, under the alias `candidate`."""
    with timer.step("release") as step:
        version = candidates.registered(home.store(), home.tracking_uri, policy_files(home, policy), gates.load())
    said = previews.table(["gate", "says"], sorted(version.tags.items()))
    figures = {"version_number": int(version.version), "num_objections": len(version.objections), "figures": version.evaluation}
    return previews.made(step, None, version=version.label, bundle=version.bundle, gates=said, **previews.numbers(figures))


@dg.asset(group_name="release", kinds={"mlflow"}, owners=RELEASE, deps=[release_candidate])
def champion(home: Home, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The version that is served. It moves when every gate lets the candidate through; the one before stays at hand as `previous`."""
    with timer.step("release") as step:
        version = candidates.promoted(home.store(), home.tracking_uri)
    number = previews.numbers({"version_number": int(version.version)})
    return previews.made(step, None, version=version.label, digest=version.digest, aliases=", ".join(version.aliases), **number)

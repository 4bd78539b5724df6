"""Blocking checks: each gives its objections, and what lies downstream does not run while there are any."""

import math
from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from unclip_assets import candidates, leak_checks
from unclip_assets.clip import clip_model
from unclip_assets.crawl import raw_shards
from unclip_assets.curate import rule_verdicts, safety_verdicts
from unclip_assets.pointers import present
from unclip_assets.publish import duplicate_verdicts, training_shards
from unclip_assets.release import release_candidate
from unclip_assets.reporting import previews
from unclip_assets.resources import CurationPolicy, Home
from unclip_assets.train import decoder_model, judge_model, prior_model, upsampler_256_model, upsampler_1024_model
from unclip_curation.decisions import checks
from unclip_curation.decisions.takedown_effects import still_published
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import read_manifest
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns

Objections = Callable[[Store, str], list[str]]
MODELS = {
    "clip": clip_model,
    "prior": prior_model,
    "decoder": decoder_model,
    "upsampler_256": upsampler_256_model,
    "upsampler_1024": upsampler_1024_model,
    "judge": judge_model,
}


def shown(objections: list[str]) -> dict[str, previews.Shown | str]:
    """Metadata of a check: how many objections there are, and the first of them."""
    return {"objections": "; ".join(objections[:20]) or "none", **previews.numbers({"num_objections": len(objections)})}


def blocking(asset: dg.AssetsDefinition, name: str, description: str, find: Objections) -> dg.AssetChecksDefinition:
    """A check that passes when `find` has no objection and shows its sentences when it has."""

    @dg.asset_check(asset=asset, name=name, description=description, blocking=True)
    def check(home: Home) -> dg.AssetCheckResult:
        objections = find(home.store(), home.tracking_uri)
        return dg.AssetCheckResult(passed=not objections, metadata=shown(objections))

    return check


def nothing_fetched(store: Store, _: str) -> list[str]:
    """An objection per finished batch without a single picture: the crawl reached nothing."""
    batches = {
        name: read_manifest(store, name) for name in store.names("crawl/") if name.count("/") == 2 and name.endswith("/manifest.json")
    }
    return [f"{name.split('/')[1]} holds no picture" for name, manifest in batches.items() if manifest and not manifest.counts.get("ok")]


def numbers(value: JsonValue, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number inside nested lists and mappings, with the path that leads to it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from numbers(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{place}")
    elif isinstance(value, int | float):
        yield path, float(value)


def not_finite(stage: str) -> Objections:
    """An objection per number of the run's metrics that is not finite, or one when there is none at all."""

    def find(store: Store, _: str) -> list[str]:
        metrics = store.read_json(f"models/{stage}/{present(store, f'{stage}_model').name}/metrics.json")
        found = list(numbers(metrics))
        return [f"{path} is {value}" for path, value in found if not math.isfinite(value)] or ([] if found else ["metrics.json is empty"])

    return find


@dg.asset_check(
    asset=training_shards,
    name="nothing_explicit",
    description="The explicit rate of the published set is zero by the scorer.",
    blocking=True,
)
def nothing_explicit(home: Home, policy: CurationPolicy) -> dg.AssetCheckResult:
    """What the policy finds explicit in the published set."""
    store = home.store()
    objections = checks.published_is_safe(store, present(store, "training_shards").name, policy.load())
    return dg.AssetCheckResult(passed=not objections, metadata={**shown(objections), **policy.metadata()})


@dg.asset_check(
    asset=training_shards,
    name="nothing_leaks",
    description="No held-out pair and no picture of a named evaluation set is in the training shards, by bytes, pixels, hashes or CLIP.",
    blocking=True,
)
def nothing_leaks(home: Home, policy: CurationPolicy) -> dg.AssetCheckResult:
    """Objections, and the offending pairs with their pictures beside those they show."""
    store = home.store()
    objections, leaks = leak_checks.objections(store, present(store, "training_shards").name, policy.load())
    metadata = {**shown(objections), **policy.metadata(), **leak_checks.shown(store, leaks)}
    return dg.AssetCheckResult(passed=not objections, metadata=metadata)


def taken_down(store: Store, _: str) -> list[str]:
    """Pairs that somebody asked to be taken down and that are published all the same."""
    return still_published(store, present(store, "training_shards").name, read_takedowns(store))


def verdict_checks(asset: dg.AssetsDefinition, stage: str) -> list[dg.AssetChecksDefinition]:
    """The two checks that every table of verdicts has to pass."""
    return [
        blocking(
            asset,
            "rows_only_fall",
            "From stage to stage the number of kept rows only falls.",
            lambda s, _: checks.row_counts_only_fall(s, stage),
        ),
        blocking(asset, "no_verdict_without_a_reason", "What is not kept says why.", lambda s, _: checks.verdicts_have_reasons(s, stage)),
    ]


VERDICTS = {"rule": rule_verdicts, "safety": safety_verdicts, "final": duplicate_verdicts}
ALL: list[dg.AssetChecksDefinition] = [
    blocking(raw_shards, "pictures_were_fetched", "A crawl that reached nothing goes no further.", nothing_fetched),
    *(check for stage, asset in VERDICTS.items() for check in verdict_checks(asset, stage)),
    nothing_explicit,
    nothing_leaks,
    blocking(training_shards, "nothing_taken_down", "No pair that was taken down by request is published.", taken_down),
    *(
        blocking(asset, "losses_are_finite", "Every number of the run's metrics is finite.", not_finite(stage))
        for stage, asset in MODELS.items()
    ),
    blocking(release_candidate, "gates", "The candidate may take the champion's place.", candidates.objections),
]

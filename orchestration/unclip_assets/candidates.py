"""Candidates: the present bundle's evaluation, found or made, and what the registry and its gates say to it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import dagster as dg

from unclip_assets.pointers import present
from unclip_assets.reporting import previews
from unclip_curation.policy import load_policy
from unclip_evaluation.figures import main_figures
from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonObject
from unclip_pairs.manifest import read_manifest
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store
from unclip_release.gates import GatePolicy
from unclip_release.model_version import ModelVersion
from unclip_release.registry import open_registry
from unclip_safety.policy import PolicyFiles

SHIPPED = PolicyFiles()


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """How many pictures are painted: training captions and prompts in own words; each other set; prompts with several seeds each."""

    num_prompts: int = 200
    num_composed: int = 100
    num_diverse: int = 24


def folder(store: Store) -> str:
    """The store name of the present bundle's evaluation."""
    return f"evaluation/{present(store, 'bundle').name}"


def evaluated(store: Store, numbers: Numbers, progress: Progress, policies: PolicyFiles = SHIPPED) -> JsonObject:
    """The present bundle's figures, painted and measured when they are not there yet, and how many of its pictures may not leave."""
    figures = _evaluated(store, numbers, progress, folder(store))
    return {**figures, "explicit_pictures": explicit_pictures(store, policies)}


def evaluated_on(store: Store, prompts: Path, numbers: Numbers, progress: Progress) -> tuple[str, JsonObject]:
    """The store name and the figures of an evaluation on a prompts file of one's own, apart from the one that is released.

    `UserError` when the file is not as it should be.
    """
    from unclip_evaluation.prompts.prompt_file import read_prompt_file
    from unclip_pairs.manifest import file_digest

    read_prompt_file(prompts)
    apart = f"{folder(store)}-prompts-{file_digest(prompts)[:8]}"
    return apart, _evaluated(store, numbers, progress, apart, prompts)


def _evaluated(store: Store, numbers: Numbers, progress: Progress, out: str, prompts: Path | None = None) -> JsonObject:
    from unclip_evaluation.evaluate import evaluate
    from unclip_evaluation.plan import EvaluationPlan

    bundle, version = present(store, "bundle"), present(store, "training_shards").name
    plan = EvaluationPlan(judge=f"models/judge/{present(store, 'judge_model').name}", prompts=prompts, **asdict(numbers))
    return cast(JsonObject, evaluate(store, store.folder(f"bundles/{bundle.name}"), version, plan, out, progress))


def explicit_pictures(store: Store, policies: PolicyFiles = SHIPPED) -> int:
    """How many of the evaluation's pictures the output check refuses; counted once for each evaluation and curation policy."""
    name, evaluation = f"{folder(store)}/explicit.json", read_manifest(store, f"{folder(store)}/manifest.json")
    assert evaluation is not None, "an evaluation that is looked at is finished"
    counted = store.read_json(name) if store.exists(name) else {}
    asked = {"evaluation": evaluation.digest, "policy_version": load_policy(policies.curation).version}
    if not asked.items() <= counted.items():
        counted = asked | {"explicit_pictures": count_explicit(store, policies)}
        store.write_json(name, counted)
    return int(counted["explicit_pictures"])


def count_explicit(store: Store, policies: PolicyFiles) -> int:
    """Scores every picture that the evaluation painted for its figures."""
    import numpy as np
    from PIL import Image

    from unclip_safety.outputs import count_refused, open_checker

    check = open_checker(policies)
    painted = np.load(store.path(f"{folder(store)}/painted.npy"), allow_pickle=False)
    return count_refused(check, [Image.fromarray(pixels) for pixels in painted])


def figures(store: Store, policies: PolicyFiles = SHIPPED) -> JsonObject:
    """The present bundle's figures, as they are on the disk; `UserError` when it has not been evaluated."""
    name = f"{folder(store)}/evaluation.json"
    if not store.exists(f"{folder(store)}/manifest.json"):
        raise UserError(f"the bundle {present(store, 'bundle').name} has not been evaluated; run `unclip model evaluate`")
    return dict(store.read_json(name)) | {"explicit_pictures": explicit_pictures(store, policies)}


def pictures(store: Store) -> dict[str, dg.MarkdownMetadataValue]:
    """The evaluation's pictures, small, by name."""
    names = [name for name in store.names(f"{folder(store)}/") if name.endswith(".png")]
    return {name.rsplit("/", 1)[1].removesuffix(".png"): previews.picture_file(store.path(name)) for name in names}


def registered(store: Store, tracking_uri: str, policies: PolicyFiles = SHIPPED, gates: GatePolicy | None = None) -> ModelVersion:
    """The present bundle as the registry's candidate, judged by the gates with their default thresholds unless others are given."""
    manifest = read_manifest(store, f"bundles/{present(store, 'bundle').name}/manifest.json")
    assert manifest is not None, "a bundle that is pointed at is finished"
    attachments = tuple(store.path(name) for name in store.names(f"{folder(store)}/") if name.endswith(".png"))
    return open_registry(store, tracking_uri).register(manifest, main_figures(figures(store, policies)), gates, attachments)


def candidate(store: Store, tracking_uri: str) -> ModelVersion:
    """The registered version of the present bundle; `UserError` when it is not registered."""
    digest = present(store, "bundle").digest
    found = [version for version in open_registry(store, tracking_uri).versions() if version.digest == digest]
    if not found:
        raise UserError(f"the bundle {present(store, 'bundle').name} is not registered; run `unclip model release`")
    return found[0]


def objections(store: Store, tracking_uri: str) -> list[str]:
    """Why the gates would not let the present bundle become champion."""
    return candidate(store, tracking_uri).objections


def promoted(store: Store, tracking_uri: str) -> ModelVersion:
    """The present bundle as champion; `UserError` with the objections when a gate refuses it."""
    return open_registry(store, tracking_uri).promote(candidate(store, tracking_uri).version)


def champion(store: Store, tracking_uri: str) -> ModelVersion | None:
    """The version that is served, or None."""
    return next((version for version in open_registry(store, tracking_uri).versions() if "champion" in version.aliases), None)

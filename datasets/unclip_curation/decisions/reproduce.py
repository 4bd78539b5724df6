"""Proof that verdicts follow from what their manifest names: they are made again from it and compared."""

from dataclasses import dataclass

import pyarrow as pa

from unclip_curation.decisions.verdicts import decided, embeddings_of, inputs_of, read_verdicts
from unclip_curation.features import required
from unclip_curation.policy import Policy
from unclip_pairs.manifest import Manifest, file_digest, read_manifest
from unclip_pairs.store import Store

SHOWN = 3


@dataclass(frozen=True)
class Reproduction:
    """How many verdicts were made again, by which policy, from which columns (scorer and version), and what speaks against them."""

    rows: int
    policy_version: str
    measured: dict[str, str]
    objections: list[str]


def reproduce(store: Store, stage: str) -> Reproduction:
    """Decides a stage again by the policy and the columns that its manifest names, and compares every verdict; nothing is written.

    When the columns or the policy are not those of the manifest any more, that is the objection, and nothing is decided. `UserError`
    when the stage is not decided.
    """
    manifest = required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first")
    policy = Policy(manifest.settings["policy"], manifest.settings.get("sql", ""))
    objections = _policy_objections(manifest, policy) or _input_objections(store, manifest, policy) or _file_objections(store, manifest)
    if not objections:
        again = decided(store, stage, policy, embeddings_of(manifest))
        objections = _differences(read_verdicts(store, stage), again)
    return Reproduction(int(manifest.counts["rows"]), manifest.settings["policy_version"], _measured(store, manifest), objections)


def _policy_objections(manifest: Manifest, policy: Policy) -> list[str]:
    if "sql" not in manifest.settings:
        return ["the manifest was written before manifests held the policy's SQL; decide the stage again"]
    stated = manifest.settings["policy_version"]
    return [] if policy.version == stated else [f"the manifest's policy has the version {policy.version}, not {stated} as it says"]


def _input_objections(store: Store, manifest: Manifest, policy: Policy) -> list[str]:
    """What was measured anew, came or went since."""
    now, then = inputs_of(store, manifest.settings["stage"], policy, embeddings_of(manifest)), manifest.inputs
    changed = {name: "came" if name not in then else "went" if name not in now else "changed" for name in sorted({*now, *then})}
    return [f"{name} {what} since; decide the stage again" for name, what in changed.items() if now.get(name) != then.get(name)]


def _file_objections(store: Store, manifest: Manifest) -> list[str]:
    """The files that are not what their manifests say."""
    known = [read_manifest(store, f"{name}.json") for name in manifest.inputs if name != "takedowns"]
    # of a crawl batch only its rows are read here; its shards hold the pictures
    files = {name: digest for one in (*known, manifest) if one for name, digest in one.files.items() if name.endswith(".parquet")}
    missing = [name for name in files if not store.exists(name)]
    changed = [name for name in files if name not in missing and file_digest(store.path(name)) != files[name]]
    return [f"{name} is gone" for name in missing] + [f"{name} was changed after it was written" for name in changed]


def _differences(before: pa.Table, after: pa.Table) -> list[str]:
    if before.equals(after):
        return []
    if before.num_rows != after.num_rows or not before["key"].equals(after["key"]):
        return [f"there are {before.num_rows:,} verdicts, and {after.num_rows:,} when made again, of other keys"]
    keys = [a["key"] for a, b in zip(before.to_pylist(), after.to_pylist(), strict=True) if a != b]
    return [f"{len(keys):,} verdicts come out otherwise, such as {', '.join(keys[:SHOWN])}"]


def _measured(store: Store, manifest: Manifest) -> dict[str, str]:
    """The version of each scorer whose columns were read, where its manifest states one."""
    versions = dict[str, set[str]]()
    for name in manifest.inputs:
        found = read_manifest(store, f"{name}.json") if name.startswith("features/") else None
        if found is not None and "version" in found.settings:
            versions.setdefault(name.rpartition("/")[2], set()).add(str(found.settings["version"]))
    return {scorer: "/".join(sorted(found)) for scorer, found in sorted(versions.items())}

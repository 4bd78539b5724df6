"""Walk back: from a painted picture to its model, its bundle, its trainings, its dataset, its policy and its crawls."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, read_manifest
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder, weights_digest
from unclip_release.provenance import read_provenance
from unclip_release.registry import ModelVersion, Registry

MANIFEST_FOLDERS = ("crawl/", "features/", "verdicts/", "embeddings/", "datasets/", "models/", "bundles/")
_SHOWN_SETTINGS = (
    "version",
    "policy_version",
    "recipe",
    "seed",
    "steps",
    "mlflow_run_id",
    "dagster_run_id",
    "user_agent",
    "contact",
    "seeds",
    "stage",
)


@dataclass(frozen=True)
class Step:
    """One station of the walk; `depth` is how far it lies from the start."""

    depth: int
    kind: str
    name: str
    digest: str
    facts: dict[str, str] = field(default_factory=dict[str, str])


def manifests(store: Store) -> dict[str, tuple[str, Manifest]]:
    """Every manifest of the store by its digest, with its name. Shards' own manifests are left out: their dataset stands for them."""
    found: dict[str, tuple[str, Manifest]] = {}
    for folder in MANIFEST_FOLDERS:
        for name in store.names(folder):
            if name.endswith(".json") and not _is_detail(name) and (manifest := _read(store, name)) is not None:
                found.setdefault(manifest.digest, (name, manifest))
    return found


def by_weights(known: Mapping[str, tuple[str, Manifest]]) -> dict[str, tuple[str, Manifest]]:
    """The models again, by the digest of their weights: a training names the CLIP it learned from so."""
    models = [entry for entry in known.values() if entry[1].kind == "model"]
    return {digest: entry for entry in models if (digest := weights_digest(entry[1])) is not None}


def _is_detail(name: str) -> bool:
    file = name.rsplit("/", 1)[1]
    return (
        "/lineage/" in name
        or file.startswith(("shard-", "train-", "held_out-"))
        or file in ("metrics.json", "bundle.json", "tokenizer.json")
    )


def _read(store: Store, name: str) -> Manifest | None:
    try:
        return read_manifest(store, name)
    except UserError:
        return None


def _facts(manifest: Manifest) -> dict[str, str]:
    settings = {name: str(manifest.settings[name]) for name in _SHOWN_SETTINGS if manifest.settings.get(name) not in (None, "", [])}
    counts = {name: f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for name, value in manifest.counts.items()}
    return settings | dict(sorted(counts.items())) | {"made": manifest.created}


def _walk(known: Mapping[str, tuple[str, Manifest]], digest: str, label: str, depth: int, seen: set[str]) -> Iterator[Step]:
    """The manifest of that digest, then its inputs, each once; a digest that nobody here knows is told as such."""
    if digest not in known:
        yield Step(depth, label, "not in this store", digest)
        return
    name, manifest = known[digest]
    if manifest.digest in seen:
        yield Step(depth, label, f"{name} (see above)", manifest.digest)
        return
    seen.add(manifest.digest)
    yield Step(depth, manifest.kind if manifest.kind == label else f"{label} ({manifest.kind})", name, manifest.digest, _facts(manifest))
    for source, inner in sorted(manifest.inputs.items()):
        yield from _walk(known, inner, source, depth + 1, seen)


def _bundled(store: Store, folder: str) -> dict[str, tuple[str, Manifest]]:
    """The manifests that a bundle brings along, for a machine on which only the bundle is left."""
    names = [name for name in store.names(f"{folder}/lineage/") if name.endswith(".json")]
    return {manifest.digest: (name, manifest) for name in names if (manifest := _read(store, name)) is not None}


def _version_step(version: ModelVersion, depth: int) -> Step:
    facts = {"aliases": ", ".join(version.aliases) or "none", "gates": version.tags.get("gates", "not judged")}
    facts |= {name: f"{value:.4g}" for name, value in version.evaluation.items() if "." not in name}
    return Step(depth, "model version", version.label, version.digest, facts)


def _version_of(registry: Registry | None, digest: str) -> ModelVersion | None:
    return next((version for version in registry.versions() if version.digest == digest), None) if registry else None


def _started(registry: Registry | None, start: str) -> tuple[list[Step], ModelVersion | None, str]:
    """The first steps, the model version and the bundle's digest, from a PNG path, a version number, an alias or a label."""
    if "." in Path(start).name or Path(start).is_file():
        told = read_provenance(Path(start))
        facts = {name: value for name, value in told.items() if name != "manifest"}
        version = _version_of(registry, told["manifest"])
        return [Step(0, "picture", start, told["manifest"], facts)], version, told["manifest"]
    if registry is None:
        raise UserError(f"{start!r} is not a file, and versions need the registry; give the path of a painted PNG")
    wanted = start.rsplit("/", 1)[-1]
    version = next((found for found in registry.versions() if wanted == found.version or wanted in found.aliases), None)
    if version is None:
        raise UserError(f"{start!r} is neither a PNG file nor a version or alias of the model; see `unclip model lineage champion`")
    return [], version, version.digest


def steps(store: Store, registry: Registry | None, start: str) -> list[Step]:
    """The whole walk, in the order in which it is told."""
    found, version, digest = _started(registry, start)
    if version is not None:
        found.append(_version_step(version, len(found)))
    known = manifests(store)
    if digest in known:
        known = _bundled(store, bundle_folder(known[digest][1])) | known
    return [*found, *_walk(by_weights(known) | known, digest, "bundle", len(found), set())]


def lineage(store: Store, registry: Registry | None, start: str) -> str:
    """The walk as indented text, one station a line and its facts below."""
    lines: list[str] = []
    for step in steps(store, registry, start):
        indent = "  " * step.depth
        lines.append(f"{indent}{step.kind}: {step.name}  [{step.digest[:12]}]")
        if step.facts:
            lines.append(f"{indent}    {', '.join(f'{name} {value}' for name, value in step.facts.items())}")
    return "\n".join(lines)

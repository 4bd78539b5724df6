"""Walk back: from a painted picture to its model, its bundle, its trainings, its dataset, its policy and its crawls."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.manifest_index import Found, ManifestIndex, manifest_index
from unclip_release.model_version import ModelVersion
from unclip_release.provenance import read_provenance
from unclip_release.registry import Registry

MISSING = "not in this store"
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
    "family",
    "licence",
    "training_data",
    "imported_from",
)


@dataclass(frozen=True)
class LineageNode:
    """One station of the walk; `depth` is how far it lies from the start, `is_repeat` says that it was shown before."""

    depth: int
    kind: str
    name: str
    digest: str
    facts: dict[str, str] = field(default_factory=dict[str, str])
    is_repeat: bool = False

    @property
    def title(self) -> str:
        """The name, and whether it was shown before."""
        return f"{self.name} (see above)" if self.is_repeat else self.name


@dataclass(frozen=True)
class Lineage:
    """Where a walk starts, and what the store knows. `provenance` is what the picture says of itself, empty without a picture;
    `digest` is the bundle's."""

    start: str
    provenance: dict[str, str]
    version: ModelVersion | None
    digest: str
    index: ManifestIndex

    @property
    def bundle(self) -> Manifest | None:
        """The bundle's manifest, or None when it is not in this store."""
        found = self.index.find(self.digest)
        return found.manifest if found is not None else None

    def nodes(self) -> list[LineageNode]:
        """The whole walk, from the start to the crawls."""
        nodes = list[LineageNode]()
        if self.provenance:
            facts = {name: value for name, value in self.provenance.items() if name != "manifest"}
            nodes.append(LineageNode(0, "picture", self.start, self.digest, facts))
        if self.version is not None:
            nodes.append(_version_node(self.version, len(nodes)))
        return [*nodes, *_walk(self.index, self.digest, "bundle", len(nodes), set())]

    def reached(self, kind: str) -> list[tuple[str, Manifest]]:
        """The names and manifests of every finished step of that kind which the walk reaches, in its order."""
        nodes = [node for node in self.nodes() if not node.is_repeat]
        found = [self.index.find(node.digest) for node in nodes]
        return [(one.name, one.manifest) for one in found if one is not None and one.manifest is not None and one.manifest.kind == kind]


def trace(store: Store, registry: Registry | None, start: str) -> Lineage:
    """The lineage of a painted PNG (its path), of a version's number or label, or of an alias; `UserError` when it is none of these."""
    provenance, version, digest = _started(registry, start)
    return Lineage(start, provenance, version, digest, manifest_index(store, digest))


def full_text(lineage: Lineage) -> str:
    """The walk as indented text, one station a line and its facts below."""
    lines: list[str] = []
    for node in lineage.nodes():
        indent = "  " * node.depth
        lines.append(f"{indent}{node.kind}: {node.title}  [{node.digest[:12]}]")
        if node.facts:
            lines.append(f"{indent}    {', '.join(f'{name} {value}' for name, value in node.facts.items())}")
    return "\n".join(lines)


def _facts(manifest: Manifest) -> dict[str, str]:
    settings = {name: str(manifest.settings[name]) for name in _SHOWN_SETTINGS if manifest.settings.get(name) not in (None, "", [])}
    counts = {name: f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for name, value in manifest.counts.items()}
    return settings | dict(sorted(counts.items())) | {"made": manifest.created}


def _walk(index: ManifestIndex, digest: str, role: str, depth: int, seen: set[str]) -> Iterator[LineageNode]:
    """What has that digest, then its inputs, each once; a digest that nothing here has is named as missing."""
    found = index.find(digest, role)
    if found is None:
        yield LineageNode(depth, role, MISSING, digest)
    elif found.manifest is None:
        yield LineageNode(depth, f"{role} (file)", found.name, digest)
    elif found.is_copy:
        yield LineageNode(depth, f"{role} (cached copy)", found.name, digest, {"made": found.manifest.created})
    else:
        yield from _walk_step(index, found, found.manifest, (role, depth), seen)


def _walk_step(index: ManifestIndex, found: Found, manifest: Manifest, place: tuple[str, int], seen: set[str]) -> Iterator[LineageNode]:
    role, depth = place
    if manifest.digest in seen:
        yield LineageNode(depth, role, found.name, manifest.digest, is_repeat=True)
        return
    seen.add(manifest.digest)
    kind = manifest.kind if manifest.kind == role else f"{role} ({manifest.kind})"
    yield LineageNode(depth, kind, found.name, manifest.digest, _facts(manifest))
    for source, inner in sorted(manifest.inputs.items()):
        yield from _walk(index, inner, source, depth + 1, seen)


def _version_node(version: ModelVersion, depth: int) -> LineageNode:
    facts = {"aliases": ", ".join(version.aliases) or "none", "gates": version.tags.get("gates", "not judged")}
    facts |= {name: f"{value:.4g}" for name, value in version.evaluation.items() if "." not in name}
    return LineageNode(depth, "model version", version.label, version.digest, facts)


def _version_of(registry: Registry | None, digest: str) -> ModelVersion | None:
    return next((version for version in registry.versions() if version.digest == digest), None) if registry else None


def _started(registry: Registry | None, start: str) -> tuple[dict[str, str], ModelVersion | None, str]:
    """The picture's provenance, the model version and the bundle's digest."""
    if "." in Path(start).name or Path(start).is_file():
        provenance = read_provenance(Path(start))
        return provenance, _version_of(registry, provenance["manifest"]), provenance["manifest"]
    if registry is None:
        raise UserError(f"{start!r} is not a file, and versions need the registry; give the path of a painted PNG")
    wanted = start.rsplit("/", 1)[-1]
    version = next((found for found in registry.versions() if wanted == found.version or wanted in found.aliases), None)
    if version is None:
        raise UserError(f"{start!r} is neither a PNG file nor a version or alias of the model; name a version's number, or champion")
    return {}, version, version.digest

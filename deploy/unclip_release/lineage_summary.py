"""Summary of a lineage on one screen: picture, version, five networks, dataset with its licences, verdict counts, crawls with pages."""

import json
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass, field

from pyarrow.parquet import read_table

from unclip_pairs.manifest import Manifest
from unclip_release.bundle import STAGES
from unclip_release.lineage import MISSING, Lineage
from unclip_release.registry import IMPORTED

WIDTH = 110
_LABEL = 11
_MOST = 8
_NO_REASONS = ("kept", "rows")


@dataclass(frozen=True)
class Network:
    """One stage of the bundle; empty fields when its manifest is not in this store."""

    stage: str
    digest: str
    name: str = ""
    recipe: str = ""
    steps: int = 0
    pairs: int = 0


@dataclass(frozen=True)
class Dataset:
    """The published set that the generative stages learned from. `licences` counts pairs; empty when its rows are not in this store."""

    digest: str
    version: str = ""
    splits: dict[str, int] = field(default_factory=dict[str, int])
    licences: dict[str, int] = field(default_factory=dict[str, int])
    made: str = ""


@dataclass(frozen=True)
class Verdicts:
    """How one stage of decisions ended: `reasons` counts what was left out for which reason."""

    stage: str
    policy_version: str
    rows: int
    kept: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Crawl:
    """One crawl batch: stored pictures, pages read, and where it began."""

    batch: str
    pictures: int
    pages: int
    sources: list[str]
    made: str


@dataclass(frozen=True)
class Summary:
    """A lineage in short. `picture` is what the PNG says of itself; `figures` are those that the gates judged; `imported` says of a model
    that was trained elsewhere what it is, and is empty for ours."""

    start: str
    picture: dict[str, str]
    version: str
    aliases: list[str]
    gates: str
    figures: dict[str, float]
    bundle: str
    bundle_digest: str
    policy_version: str
    networks: list[Network]
    dataset: Dataset | None
    verdicts: list[Verdicts]
    crawls: list[Crawl]
    imported: dict[str, str] = field(default_factory=dict[str, str])


def summarize(lineage: Lineage) -> Summary:
    """The summary of a lineage; what is not in the store is left empty."""
    version, bundle = lineage.version, lineage.bundle
    return Summary(
        start=lineage.start,
        picture=lineage.provenance,
        version=version.label if version else lineage.provenance.get("model", ""),
        aliases=list(version.aliases) if version else [],
        gates=version.tags.get("gates", "not judged") if version else "",
        figures={name: value for name, value in version.evaluation.items() if "." not in name} if version else {},
        bundle=str(bundle.settings["bundle"]) if bundle else "",
        bundle_digest=lineage.digest,
        policy_version=str(bundle.settings.get("policy_version", "")) if bundle else "",
        networks=[_network(lineage, stage, bundle.inputs[stage]) for stage in STAGES if stage in bundle.inputs] if bundle else [],
        dataset=_dataset(lineage, bundle.inputs["dataset"]) if bundle and "dataset" in bundle.inputs else None,
        verdicts=[_verdicts(manifest) for _, manifest in sorted(lineage.reached("verdicts"), key=_made)],
        crawls=[_crawl(name, manifest) for name, manifest in lineage.reached("crawl")],
        imported={name: str(bundle.settings[name]) for name in IMPORTED if name in bundle.settings} if bundle else {},
    )


def _network(lineage: Lineage, stage: str, digest: str) -> Network:
    found = lineage.index.find(digest)
    if found is None or found.manifest is None:
        return Network(stage, digest)
    settings, counts = found.manifest.settings, found.manifest.counts
    name = found.name.removesuffix("/manifest.json").removeprefix("models/")
    return Network(stage, digest, name, str(settings.get("recipe", "")), int(counts.get("steps", 0)), int(counts.get("pairs", 0)))


def _dataset(lineage: Lineage, digest: str) -> Dataset:
    found = lineage.index.find(digest)
    if found is None or found.manifest is None:
        return Dataset(digest)
    version = str(found.manifest.settings.get("version", ""))
    splits = {name: int(count) for name, count in found.manifest.counts.items()}
    return Dataset(digest, version, splits, _licences(lineage, version), found.manifest.created)


def _licences(lineage: Lineage, version: str) -> dict[str, int]:
    store, name = lineage.index.store, f"datasets/{version}/rows.parquet"
    if not version or not store.exists(name):
        return {}
    licences = read_table(store.path(name), columns=["licence"])["licence"].to_pylist()
    return dict(Counter(licence or "not stated" for licence in licences).most_common())


def _made(entry: tuple[str, Manifest]) -> str:
    return entry[1].created


def _verdicts(manifest: Manifest) -> Verdicts:
    counts = {name: int(value) for name, value in manifest.counts.items()}
    reasons = Counter({name: count for name, count in counts.items() if name not in _NO_REASONS})
    settings = manifest.settings
    stage, policy = str(settings.get("stage", "")), str(settings.get("policy_version", ""))
    return Verdicts(stage, policy, counts.get("rows", 0), counts.get("kept", 0), dict(reasons.most_common()))


def _crawl(name: str, manifest: Manifest) -> Crawl:
    settings, counts = manifest.settings, manifest.counts
    sources = [str(source) for kind in ("seeds", "sitemaps", "lists", "archives", "folders", "shards") for source in settings.get(kind, [])]
    return Crawl(name.split("/")[1], int(counts.get("ok", 0)), int(counts.get("pages", 0)), sources, manifest.created)


def summary_text(summary: Summary) -> str:
    """The summary as text for a terminal, at most `WIDTH` columns wide."""
    lines = [*_picture_lines(summary), *_model_lines(summary), *_data_lines(summary)]
    wrapped = [textwrap.fill(f"{label:<{_LABEL}}  {text}", WIDTH, subsequent_indent=" " * (_LABEL + 2)) for label, text in lines]
    return "\n".join([*wrapped, "", "--full shows every step, --page FILE writes a page with pictures and the graph."])


def summary_json(lineage: Lineage) -> str:
    """The summary and, under `nodes`, every step of the walk as indented JSON."""
    return json.dumps(asdict(summarize(lineage)) | {"nodes": [asdict(node) for node in lineage.nodes()]}, indent=1, ensure_ascii=False)


def _picture_lines(summary: Summary) -> list[tuple[str, str]]:
    if not summary.picture:
        return []
    asked = next((name for name in ("prompt", "source") if f"{name}_sha256" in summary.picture), "prompt")
    digest = summary.picture.get(f"{asked}_sha256", "")[:12]
    return [("picture", f"{summary.start}: seed {summary.picture.get('seed', '?')}, {asked} sha256 {digest}")]


def _model_lines(summary: Summary) -> list[tuple[str, str]]:
    named = f"{summary.version or 'unknown'}" + (f" ({', '.join(summary.aliases)})" if summary.aliases else "")
    figures = ", ".join(f"{name} {value:.3g}" for name, value in summary.figures.items() if "rate" in name or "frechet" in name)
    gates = f", gates {summary.gates}" if summary.gates else ", not in this registry"
    lines = [("version", f"{named}{gates}" + (f"; {figures}" if figures else ""))]
    if not summary.bundle:
        return [*lines, ("bundle", f"{summary.bundle_digest[:12]}, {MISSING}")]
    lines.append(("bundle", f"{summary.bundle}, policy {summary.policy_version or 'unknown'}"))
    return [*lines, *((network.stage, _network_text(network)) for network in summary.networks)]


def _network_text(network: Network) -> str:
    if not network.name:
        return f"{network.digest[:12]}, {MISSING}"
    return f"{network.name}: {network.recipe or 'no recipe'}, {network.steps:,} steps on {network.pairs:,} pairs"


def _data_lines(summary: Summary) -> list[tuple[str, str]]:
    lines = list[tuple[str, str]]()
    if summary.imported:
        model = f"{summary.imported['family']}, imported from {summary.imported['imported_from']}; licence {summary.imported['licence']}"
        lines += [("networks", model), ("dataset", f"the model's training data lie {summary.imported['training_data']}")]
    if summary.dataset is not None:
        lines.append(("dataset", _dataset_text(summary.dataset)))
        if summary.dataset.licences:
            lines.append(("licences", _most(summary.dataset.licences)))
    for verdicts in summary.verdicts:
        left_out = f"; left out: {_most(verdicts.reasons)}" if verdicts.stage == "final" and verdicts.reasons else ""
        lines.append(("verdicts", f"{verdicts.stage or 'decisions'}: {verdicts.kept:,} of {verdicts.rows:,} kept{left_out}"))
    for crawl in summary.crawls[:_MOST]:
        lines.append(("crawl", f"{crawl.batch}: {crawl.pictures:,} pictures from {crawl.pages:,} pages of {_first(crawl.sources)}"))
    if len(summary.crawls) > _MOST:
        lines.append(("", f"and {len(summary.crawls) - _MOST} more crawls"))
    return lines


def _dataset_text(dataset: Dataset) -> str:
    if not dataset.version:
        return f"{dataset.digest[:12]}, {MISSING}"
    splits = ", ".join(f"{count:,} pairs in {name}" for name, count in sorted(dataset.splits.items(), reverse=True))
    return f"{dataset.version}: {splits or 'no counts'}, made {dataset.made[:10]}"


def _most(counts: dict[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:_MOST]]
    return ", ".join(shown) + (f", {len(counts) - _MOST} more" if len(counts) > _MOST else "")


def _first(sources: list[str]) -> str:
    shown = ", ".join(sources[:3]) or "unnamed sources"
    return shown + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")

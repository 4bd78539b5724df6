"""Previews: counts, tables and small contact sheets as metadata that Dagster shows beside an asset."""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
from PIL import Image

from unclip_assets.reporting.timing import TimedStep
from unclip_pairs.images import contact_sheet, decode
from unclip_pairs.json_value import JsonObject, JsonValue
from unclip_pairs.manifest import Manifest
from unclip_pairs.shards import read_shard
from unclip_pairs.store import Store

TILES = 24
COLUMNS = 8
TILE = 64
SHEET_WIDTH = 900

Materialized: TypeAlias = dg.MaterializeResult[Any]
"""What an asset returns. Dagster reads the argument at run time as the type of a value, which no asset of ours has."""
Shown: TypeAlias = dg.MarkdownMetadataValue | dg.IntMetadataValue | dg.FloatMetadataValue
"""What is shown beside an asset: a table or a picture, or a number that Dagster plots."""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines))


def counts_table(counts: Mapping[str, int | float], what: str = "reason") -> dg.MarkdownMetadataValue:
    """A table of counts, the largest first."""
    largest_first = sorted(counts.items(), key=lambda item: -item[1])
    return table([what, "count"], largest_first)


def figures_table(figures: JsonObject) -> dg.MarkdownMetadataValue:
    """A table of an evaluation's figures, nested ones under dotted names."""
    return table(["figure", "value"], [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in flat(figures)])


def numbers(values: JsonObject, prefix: str = "") -> dict[str, Shown]:
    """Every number of nested mappings as numeric metadata under its dotted name: Dagster plots it from one materialisation to the next."""
    found: dict[str, Shown] = {}
    for name, value in flat(values, prefix):
        if isinstance(value, int) and not isinstance(value, bool):
            found[name] = dg.MetadataValue.int(value)
        elif isinstance(value, float):
            found[name] = dg.MetadataValue.float(value)
    return found


def counted(name: str, counts: Mapping[str, int | float]) -> dict[str, Shown]:
    """Counts as a table under `name`, and each as numeric metadata under `name.`..."""
    return {name: counts_table(counts), **numbers(counts, f"{name}.")}


def measured(name: str, figures: JsonObject, prefix: str = "") -> dict[str, Shown]:
    """Figures as a table under `name`, and each as numeric metadata under `prefix` and its own dotted name."""
    return {name: figures_table(figures), **numbers(figures, prefix)}


def flat(values: JsonObject, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Every value of nested mappings with its dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def picture(image: Image.Image, label: str = "preview") -> dg.MarkdownMetadataValue:
    """One small picture inside Markdown: a JPEG in a data address, so that the event log stands alone."""
    buffer = io.BytesIO()
    image.thumbnail((SHEET_WIDTH, 4 * SHEET_WIDTH))
    image.convert("RGB").save(buffer, "JPEG", quality=80)
    return dg.MetadataValue.md(f"![{label}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def picture_file(path: Path) -> dg.MarkdownMetadataValue:
    """A picture file of ours as a preview."""
    with Image.open(path) as image:
        return picture(image.copy(), path.stem)


def spread(names: Sequence[str], pictures: int) -> list[tuple[str, int]]:
    """How many pictures to take from which shard, so that all shards are seen."""
    shards = names[:: max(1, len(names) // pictures)] if names else []
    return [(name, -(-pictures // len(shards))) for name in shards]


def shard_sheet(store: Store, names: Sequence[str]) -> dict[str, dg.MarkdownMetadataValue]:
    """A contact sheet of some pictures of the shards; empty when there is no shard."""
    images = [
        decode(sample[next(kind for kind in ("png", "jpg", "webp") if kind in sample)])
        for name, pictures in spread(names, TILES)
        for sample in islice(read_shard(store, name), pictures)
    ][:TILES]
    if not images:
        return {}
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    return {"preview": picture(contact_sheet(rows, tile=TILE))}


def made(step: TimedStep, manifest: Manifest | None, **more: Shown | str) -> Materialized:
    """What an asset hands to Dagster: seconds, counts, the manifest's digest and whatever it wants to show."""
    metadata: dict[str, Shown | str] = {"step": step.name, **numbers({"seconds": round(step.seconds, 3)})}
    if manifest is None:
        return dg.MaterializeResult(metadata=metadata | more)
    metadata |= numbers(manifest.counts)
    return dg.MaterializeResult(metadata=metadata | more, data_version=dg.DataVersion(manifest.digest[:16]))


def training(store: Store, folder: str) -> dict[str, Shown]:
    """The last values of a run's curves under `final.`, the curves as a picture, and the last sample grid of a stage that paints."""
    metrics = store.read_json(f"{folder}/metrics.json")
    final = numbers(metrics["final"], "final.") | numbers(
        {name: metrics[name] for name in ("best_validation_loss", "best_step") if name in metrics}
    )
    if store.exists(f"{folder}/curves.png"):
        final["curves"] = picture_file(store.path(f"{folder}/curves.png"))
    grids = [name for name in store.names(f"{folder}/samples/") if name.endswith(".png")]
    return {**final, "samples": picture_file(store.path(grids[-1]))} if grids else final

"""Demo's summary: what was fetched, refused, found, trained and measured, as one JSON and one panel."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pyarrow.parquet
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table

from unclip_assets import candidates
from unclip_assets.reporting import set_figures
from unclip_assets.settings import Environment
from unclip_curation.decisions import ground_truth, verdicts
from unclip_pairs.json_value import JsonObject, JsonValue
from unclip_pairs.store import Store

EVALUATION = (
    "concept_hit_rate",
    "style_hit_rate",
    "held_out_concept_hit_rate",
    "held_out_style_hit_rate",
    "clip_score_judge",
    "frechet_mnv2",
    "nearest_train",
)
SETS = ("sets", "missing_sets", "probes", "checkers", "diversity")


class Summary(TypedDict):
    """summary.json. Shares are 0..1, seconds and megabytes as their names say; `planted` is as in `planted_report`.

    `sets` holds the evaluation's nested figures (`SETS`) as they stand in evaluation.json.
    """

    wall_s: float
    acts: dict[str, float]
    peak_rss_mb: float
    orchestration_overhead: float
    pictures_fetched: int
    styles: dict[str, int]
    verdicts: dict[str, int | float]
    planted: dict[str, dict[str, float | int]]
    evaluation: dict[str, JsonValue]
    sets: dict[str, JsonValue]
    champion: dict[str, str]


def fetched(store: Store, batch: str) -> set[str]:
    """The keys of the pictures that the batch stored."""
    rows = pyarrow.parquet.read_table(store.path(f"crawl/{batch}/rows.parquet"), columns=["key", "status"]).to_pylist()
    return {row["key"] for row in rows if row["status"] == "ok"}


def styles(store: Store, keys: set[str]) -> dict[str, int]:
    """How many of the pictures are drawn in each style, as far as the truth is known."""
    labels = ground_truth.starter_labels(store)
    rows = labels.select(["key", "style"]).to_pylist() if labels is not None else []
    return dict(sorted(Counter(row["style"] for row in rows if row["key"] in keys and row["style"]).items()))


def champion(store: Store, tracking_uri: str) -> dict[str, str]:
    """The served version: model name, version, alias, manifest digest."""
    version = candidates.champion(store, tracking_uri)
    if version is None:
        return {}
    return {"name": version.name, "version": version.version, "alias": "champion", "manifest_digest": version.digest}


def collect(
    environment: Environment, store: Store, batch: str, *, wall_s: float, step_seconds: Mapping[str, float], peak_rss_mb: float
) -> Summary:
    """The whole summary, by its documented keys."""
    keys, work = fetched(store, batch), sum(step_seconds.values())
    figures = candidates.figures(store, environment.policies)
    return {
        "wall_s": round(wall_s, 1),
        "acts": {step: round(seconds, 2) for step, seconds in step_seconds.items()},
        "peak_rss_mb": peak_rss_mb,
        "orchestration_overhead": round((wall_s - work) / work, 4) if work else 0.0,
        "pictures_fetched": len(keys),
        "styles": styles(store, keys),
        "verdicts": {reason: count for reason, count in verdicts.counts(store, "final").items() if reason != "rows"},
        "planted": ground_truth.planted_report(store),
        "evaluation": {name: figures[name] for name in EVALUATION},
        "sets": {name: figures[name] for name in SETS if name in figures},
        "champion": champion(store, environment.tracking_uri),
    }


def write(store: Store, summary: Summary) -> Path:
    """`demo/summary.json`, and beside it the evaluation's contact sheet."""
    store.write_json("demo/summary.json", summary)
    with store.writing("demo/contact_sheet.png") as part:
        shutil.copyfile(store.path(f"{candidates.folder(store)}/contact_sheet.png"), part)
    return store.path("demo/summary.json")


def planted_table(planted: Mapping[str, Mapping[str, float | int]]) -> Table:
    """What was planted and what was found, per class."""
    table = Table("planted", "true", "found", "recall", "precision", box=None, pad_edge=False)
    for name, row in planted.items():
        table.add_row(name, f"{row['true']}", f"{row['found']}", f"{row['recall']:.2f}", f"{row['precision']:.2f}")
    return table


def shown(value: JsonValue) -> str:
    """A figure as people read it."""
    return f"{value['mean']:.3f}" if isinstance(value, Mapping) else f"{value:.3f}"


def sets_table(figures: JsonObject) -> Table:
    """The rates of every set of prompts beside real pictures, the mean of others and copies, with 95 % intervals."""
    table = Table(*set_figures.COLUMNS, box=None, pad_edge=False)
    for row in set_figures.rows(figures):
        table.add_row(*row)
    return table


def notes_table(figures: JsonObject) -> Table:
    """What the judges are worth, how far seeds lie apart, and which sets are missing."""
    table = Table("judges", "", box=None, pad_edge=False, show_header=False)
    for row in set_figures.notes(figures):
        table.add_row(*row)
    return table


def figures_table(summary: Summary) -> Table:
    """The figures people look at first."""
    table = Table("figure", "value", box=None, pad_edge=False)
    table.add_row("pictures fetched", f"{summary['pictures_fetched']} in {len(summary['styles'])} styles")
    for name, value in summary["evaluation"].items():
        table.add_row(name.replace("_", " "), shown(value))
    table.add_row("wall time", f"{summary['wall_s'] / 60:.1f} min, {summary['orchestration_overhead']:.1%} of it orchestration")
    table.add_row("peak memory", f"{summary['peak_rss_mb'] / 1024:.1f} GB")
    return table


def show(console: Console, store: Store, summary: Summary) -> None:
    """The closing panel, with what to try next."""
    version = summary["champion"]
    title = f"{version['name']} version {version['version']} is champion" if version else "no champion yet"
    following = "\n".join(
        [
            f"look at      {store.path('demo/contact_sheet.png')}",
            'paint        unclip generate "a red apple, noto" -n 4 --seed 7 -o pictures',
            "vary         unclip variations pictures/7.png",
            "ask why      unclip data verdicts --why KEY",
            "trace        unclip model lineage pictures/7.png",
            "serve        unclip keys create me; unclip serve api --port 8000",
            "look inside  make dev (Dagster)   make mlflow (MLflow)",
        ]
    )
    sets = summary["sets"]
    tables = (planted_table(summary["planted"]), "", figures_table(summary), "", sets_table(sets), "", notes_table(sets), "", following)
    console.print(Panel(Group(*tables), title=title))

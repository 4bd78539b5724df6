"""Tests of what an asset shows in Dagster: every count, figure and second as a number that can be plotted."""

from typing import Any

import dagster as dg

from unclip_assets import checks
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import SilentListener, TimedStep
from unclip_pairs.manifest import Manifest

FIGURES = {"concept_hit_rate": 0.6, "num_prompts": 12, "nearest_train": {"mean": 0.9, "q50": 0.25}}


def values(metadata: Any) -> dict[str, object]:
    """Name to value of what Dagster would plot."""
    assert metadata is not None
    return {name: value.value for name, value in metadata.items() if isinstance(value, dg.FloatMetadataValue | dg.IntMetadataValue)}


def test_counts_and_seconds_of_an_asset_are_numbers() -> None:
    counts: dict[str, int | float] = {"ok": 154, "loss": 1.5}
    manifest = Manifest(kind="model", inputs={}, settings={}, files={}, counts=counts, created="2026-01-01T00:00:00+00:00")
    result = previews.made(TimedStep("crawl", SilentListener()), manifest, version="v-1")
    found = values(result.metadata)
    assert found.pop("seconds") is not None and found == {"ok": 154, "loss": 1.5}
    assert result.data_version == dg.DataVersion(manifest.digest[:16])


def test_figures_are_numbers_under_stable_names_beside_their_table() -> None:
    metadata = previews.measured("figures", FIGURES)
    assert values(metadata) == {
        "concept_hit_rate": 0.6,
        "num_prompts": 12,
        "nearest_train.mean": 0.9,
        "nearest_train.q50": 0.25,
    }
    table = metadata["figures"]
    assert isinstance(table, dg.MarkdownMetadataValue) and "| nearest_train.mean | 0.9 |" in (table.md_str or "")


def test_reasons_are_numbers_beside_their_table() -> None:
    metadata = previews.counted("reasons", {"blur": 3, "small": 5})
    assert values(metadata) == {"reasons.blur": 3, "reasons.small": 5}
    assert isinstance(metadata["reasons"], dg.MarkdownMetadataValue)


def test_a_check_counts_its_objections() -> None:
    metadata = checks.shown([f"objection {number}" for number in range(30)])
    assert values(metadata) == {"num_objections": 30} and str(metadata["objections"]).count(";") == 19
    assert checks.shown([])["objections"] == "none"


def test_what_is_no_number_is_not_plotted() -> None:
    assert previews.numbers({"version": "v-1", "held": True, "one": 1}) == {"one": dg.MetadataValue.int(1)}

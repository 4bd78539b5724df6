"""Tells the whole story once, small, and looks at what it leaves behind: from the planted web to a PNG and back."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet
import pytest
from PIL import Image

from unclip_assets.reporting.timing import ASSETS_PER_STEP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
CLASSES = 15  # of planted defects
KEYS = {
    *("wall_s", "acts", "peak_rss_mb", "orchestration_overhead", "pictures_fetched", "styles"),
    *("verdicts", "planted", "evaluation", "sets", "champion"),
}
FIGURES = {
    *("concept_hit_rate", "style_hit_rate", "held_out_concept_hit_rate", "held_out_style_hit_rate"),
    *("clip_score_judge", "frechet_mnv2", "nearest_train"),
}


class SmokeHome(Protocol):
    """What the fixture `smoke_home` gives."""

    path: Path

    def again(self) -> list[str]: ...


def unclip(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unclip_orchestration.cli", "--home", str(home), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def manifests(home: Path) -> dict[str, tuple[str, int]]:
    """Digest and time of writing of every manifest in the home."""
    found = {}
    for path in home.rglob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and {"kind", "digest", "inputs"} <= set(content):
            found[str(path.relative_to(home))] = (content["digest"], path.stat().st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def told(smoke_home: SmokeHome) -> Path:
    return smoke_home.path


@pytest.fixture(scope="module")
def summary(told: Path) -> Mapping[str, Any]:
    return json.loads((told / "demo" / "summary.json").read_text())


def test_the_summary_has_the_documented_keys(summary: Mapping[str, Any]) -> None:
    assert set(summary) == KEYS
    assert set(summary["acts"]) == set(ASSETS_PER_STEP)
    assert set(summary["evaluation"]) == FIGURES
    assert summary["champion"]["name"] == "unclip" and summary["champion"]["alias"] == "champion"
    assert len(summary["champion"]["manifest_digest"]) == 64
    assert summary["peak_rss_mb"] > 100
    assert sum(summary["acts"].values()) <= summary["wall_s"]


def test_opted_out_pictures_are_not_stored_and_what_was_planted_is_found(summary: Mapping[str, Any]) -> None:
    planted = summary["planted"]
    assert planted["opted_out"]["recall"] == 1.0
    assert {name for name, row in planted.items() if row["recall"] < 0.95} == set()
    assert {name for name, row in planted.items() if row["precision"] < 0.95} == set()
    assert {name for name, row in planted.items() if row["true"] < 1 or row["found"] < 1} == set()
    assert len(planted) == CLASSES
    assert summary["pictures_fetched"] >= 150
    assert len(summary["styles"]) == 3


def test_the_contact_sheet_is_a_picture(told: Path) -> None:
    with Image.open(told / "demo" / "contact_sheet.png") as sheet:
        assert sheet.width > 500 and sheet.height > 500


def test_a_second_telling_does_nothing_again(told: Path, smoke_home: SmokeHome) -> None:
    before = manifests(told)
    answer = unclip(told, *smoke_home.again())
    assert answer.returncode == 0, answer.stderr
    assert manifests(told) == before


def test_the_same_seed_paints_the_same_bytes_and_the_picture_knows_where_it_comes_from(told: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        answer = unclip(told, "generate", "a red apple, noto", "-n", "2", "--seed", "7", "-o", str(tmp_path / folder))
        assert answer.returncode == 0, answer.stderr
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["7.png", "8.png"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    walked = unclip(told, "model", "lineage", str(tmp_path / "a" / "7.png"))
    assert walked.returncode == 0, walked.stderr
    for step in ("unclip/1", "bundle", "decoder", "dataset", "crawl"):
        assert step in walked.stdout
    varied = unclip(told, "variations", str(tmp_path / "a" / "7.png"), "-o", str(tmp_path / "c"))
    assert varied.returncode == 0, varied.stderr


def test_a_verdict_is_explained(told: Path) -> None:
    counts = unclip(told, "data", "verdicts")
    assert "kept" in counts.stdout and "caption_email" in counts.stdout
    rows = pyarrow.parquet.read_table(told / "crawl" / "starter" / "rows.parquet", columns=["key"])
    why = unclip(told, "data", "verdicts", "--why", rows["key"][0].as_py())
    assert why.returncode == 0 and len(why.stdout.splitlines()) > 3


def test_without_a_previous_champion_there_is_nothing_to_roll_back_to(told: Path) -> None:
    answer = unclip(told, "model", "rollback")
    assert answer.returncode == 2 and "previous" in answer.stderr and "Traceback" not in answer.stderr


def test_the_run_is_seen_by_dagster(told: Path) -> None:
    script = (
        "import sys, dagster as dg\n"
        "with dg.DagsterInstance.from_config(sys.argv[1]) as i:\n"
        "    print(i.get_latest_materialization_event(dg.AssetKey('champion')).asset_materialization.metadata['version'].value)\n"
        "    print(*sorted(run.job_name + ':' + run.status.value for run in i.get_runs()))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(told / "dagster")], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert answer.stdout.splitlines()[0] == "unclip/1"
    assert "everything:SUCCESS" in answer.stdout and "starter:SUCCESS" in answer.stdout

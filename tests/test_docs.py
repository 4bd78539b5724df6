"""Makes the documentation a test: what exists is named, what is named exists."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import typer.main
import yaml

from unclip_curation.scorers.registry import SCORERS
from unclip_orchestration.cli import app
from unclip_orchestration.definitions import defs
from unclip_pairs.schema import CRAWL_SCHEMA, REASONS, STATUSES

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def missing(names: list[str], text: str) -> list[str]:
    return [name for name in names if f"`{name}`" not in text]


def test_every_reason_status_and_crawl_column_is_documented() -> None:
    assert missing([*STATUSES, *CRAWL_SCHEMA.names], page("datasets/README.md") + page("docs/policy.md")) == []
    assert missing(list(REASONS), page("docs/policy.md")) == []


def test_every_setting_of_the_policy_is_documented() -> None:
    policy = yaml.safe_load(page("datasets/unclip_curation/policies/default.yaml"))
    assert missing(list(policy), page("docs/policy.md")) == []


def test_every_scorer_and_its_columns_are_documented() -> None:
    text = page("datasets/README.md") + "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    assert missing([*SCORERS, *(column for scorer in SCORERS.values() for column in scorer.schema.names)], text) == []


def test_every_recipe_is_documented() -> None:
    script = "from unclip_training.recipes import RECIPES; print(*RECIPES)"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(names) >= 10
    assert missing(names, page("training/README.md")) == []


def test_every_asset_job_schedule_and_sensor_is_documented() -> None:
    house = defs()
    names = [key.to_user_string() for key in house.resolve_asset_graph().get_all_asset_keys()]
    names += [job.name for job in house.resolve_all_job_defs() if not job.name.startswith("__")]
    names += [schedule.name for schedule in house.schedules or []]
    names += [sensor.name for sensor in house.sensors or [] if isinstance(sensor, dg.SensorDefinition)]
    assert len(names) > 20
    assert missing(names, page("orchestration/README.md")) == []


def command_names() -> list[str]:
    root = typer.main.get_command(app)
    names = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        children = getattr(command, "commands", None)
        names += [f"unclip {name} {child}" for child in children] if children else [f"unclip {name}"]
    return names


def test_every_command_is_named_in_the_readme() -> None:
    assert [name for name in command_names() if name not in page("README.md")] == []


def test_every_command_of_the_readme_exists() -> None:
    named = re.findall(r"^\.?(?:\S*/)?unclip ([a-z]+)(?: ([a-z]+))?", "\n".join(re.findall(r"`(unclip [^`]+)`", page("README.md"))), re.M)
    known = set(command_names())
    assert named
    assert [words for words in named if f"unclip {words[0]}" not in known and f"unclip {words[0]} {words[1]}" not in known] == []


def test_every_benchmark_has_one_row_with_its_last_result() -> None:
    scripts = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py"))
    rows = [line.split("|") for line in page("benchmarks/README.md").splitlines() if line.startswith("| `")]
    assert len(scripts) > 10 and sorted(row[1].strip(" `") for row in rows) == scripts
    assert [row[1] for row in rows if not re.match(r" 20\d\d-\d\d-\d\d\b", row[3])] == [], "when it was measured"


def test_every_library_is_named_with_its_licence() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    wanted = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    names = {re.split(r"[^A-Za-z0-9-]", one)[0].lower() for one in wanted}
    assert len(names) > 40
    notices = set(re.findall(r"[a-z0-9-]+", page("THIRD_PARTY.md").lower()))
    assert sorted(names - notices) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", page("Makefile"), re.M))
    named = set(re.findall(r"\bmake ([a-z0-9-]+)", page(name)))
    assert named
    assert named - targets == set()


def test_every_make_target_has_a_line_in_help() -> None:
    targets = set(re.findall(r"^\.PHONY: (.*)$", page("Makefile"), re.M)[0].split())
    helped = set(re.findall(r"^([a-z0-9-]+):.*?## ", page("Makefile"), re.M))
    assert targets == helped


PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[!.]*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_of_a_page_is_broken(path: Path) -> None:
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()) if "://" not in link]
    assert [link for link in links if link and not (path.parent / link).exists()] == []


def test_every_decision_says_what_was_decided_and_why() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert len(pages) >= 3
    assert [path.name for path in pages if "## Why" not in path.read_text() or "## Decision" not in path.read_text()] == []

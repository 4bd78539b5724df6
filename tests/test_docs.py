"""Makes the documentation a test: what exists is named, what is named exists."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from unclip_curation.scorers.registry import SCORERS
from unclip_orchestration.cli_reference import leaves, root
from unclip_orchestration.definitions import defs
from unclip_pairs.schema import CRAWL_SCHEMA, REASONS, STATUSES
from unclip_release.gates import GatePolicy, results

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
    script = "from unclip_training.recipes.register import RECIPES; print(*RECIPES)"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(names) >= 10
    assert missing(names, page("training/README.md")) == []


def test_every_asset_job_schedule_and_sensor_is_documented() -> None:
    house = defs()
    names = [key.to_user_string() for key in house.resolve_asset_graph().get_all_asset_keys()]
    names += [job.name for job in house.resolve_all_job_defs() if not job.name.startswith("__")]
    names += [schedule.name for schedule in house.schedules or []]
    names += [sensor.name for sensor in house.sensors or []]
    assert len(names) > 20
    assert missing(names, page("orchestration/README.md")) == []


def test_every_gate_is_documented() -> None:
    names = list(results({}, None, GatePolicy()))
    assert len(names) >= 6
    assert missing(names, page("deploy/README.md")) == []


def named_commands(text: str) -> list[str]:
    """The words after `unclip`, two at most, wherever a command stands in backticks or begins a line of shell code."""
    found = re.findall(r"(?:`|^ *|; )(?:\.venv/bin/|\$\(BIN\)/)?unclip ([a-z]+)(?: ([a-z]+))?(?=[` \n;])", text, re.M)
    return [" ".join(word for word in words if word) for words in found]


def known_commands() -> set[str]:
    """Every leaf and every group, as it is typed after `unclip`."""
    words = [leaf.words for leaf in leaves(root())]
    return {" ".join(one) for one in words} | {one[0] for one in words}


def unknown_commands(text: str) -> list[str]:
    """The commands of a text that are not there: a leaf on top may be followed by an argument, a group only by one of its commands."""
    known, groups = known_commands(), {leaf.words[0] for leaf in leaves(root()) if len(leaf.words) > 1}
    return [name for name in named_commands(text) if name not in known and (name.split()[0] in groups or name.split()[0] not in known)]


def test_an_unknown_command_is_seen() -> None:
    assert unknown_commands("run `unclip crawl`, then `unclip data paint --fast`, `unclip data crawl` and `unclip generate apples`") == [
        "crawl",
        "data paint",
    ]


SOURCES = [
    *(path for shelf in ("datasets", "training", "deploy", "orchestration", "benchmarks") for path in sorted((ROOT / shelf).rglob("*.*"))),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/run")),
]


def test_every_command_that_a_page_or_a_message_names_exists() -> None:
    texts = {path: path.read_text() for path in SOURCES if path.suffix in (".py", ".md", ".html", ".yaml", "") and path.is_file()}
    assert sum(len(named_commands(text)) for text in texts.values()) > 150
    unknown = {str(path.relative_to(ROOT)): names for path, text in texts.items() if (names := unknown_commands(text))}
    assert unknown == {}


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

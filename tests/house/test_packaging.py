"""Packaging: what each shelf imports is what its extra declares, and a shelf works where the others' libraries are missing."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from guards.distributions import (
    EXTRA_OF_SHELF,
    OPTIONAL,
    blocked,
    declared,
    hidden,
    installed_apart,
    packages_of,
    project,
    reached,
    requirements,
    undeclared,
)
from guards.sources import ROOT, SHELVES, modules, read_tree, with_lines
from unclip_orchestration.cli import app
from unclip_orchestration.user_errors import EXTRAS

# hides distributions and their import names, imports modules, and then runs `unclip` once for each command
ALONE = """
import contextlib, importlib, io, json, re, sys
hidden, refused, modules, commands = json.loads(sys.stdin.read())
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in refused else self.finder.find_spec(name, path, target)
    def find_distributions(self, *question):
        find = getattr(self.finder, "find_distributions", lambda *question: [])
        return (one for one in find(*question) if re.sub("[-_.]+", "-", one.name or "").lower() not in hidden)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
refused = {name for name in refused if name not in sys.modules}
for name in modules:
    importlib.import_module(name)
answers = []
for command in commands:
    from unclip_orchestration.cli import main
    sys.argv, output = ["unclip", *command], io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main()
        except SystemExit as stopped:
            answers.append([stopped.code, output.getvalue()])
print(json.dumps([answers, [name for name in refused if name in sys.modules]]))
"""


def alone(extras: Sequence[str], modules: Sequence[str], commands: Sequence[Sequence[str]] = ()) -> list[tuple[int, str]]:
    """The exit code and output of each command after importing modules, where these extras alone are installed."""
    question = json.dumps([hidden(*extras), blocked(*extras), modules, commands])
    answer = subprocess.run([sys.executable, "-c", ALONE], input=question, capture_output=True, text=True, cwd=ROOT, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    answers, loaded = json.loads(answer.stdout.splitlines()[-1])
    assert loaded == []
    return [(code, output) for code, output in answers]


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_declares_what_it_imports(shelf: str) -> None:
    texts = [text for path, text in read_tree().items() if path.startswith(f"{shelf}/")]
    assert undeclared(texts, declared(EXTRA_OF_SHELF[shelf], *OPTIONAL) | installed_apart()) == []


@pytest.mark.parametrize("shelf", ["datasets", "training", "deploy"])
def test_an_extra_has_what_its_shelf_reaches_below(shelf: str) -> None:
    """Imports inside functions included; only the orchestration sends some of its work to other shelves' environments."""
    assert undeclared(reached(read_tree(), shelf), declared(EXTRA_OF_SHELF[shelf], *OPTIONAL) | installed_apart()) == []


def test_the_pairs_need_the_base_only() -> None:
    texts = [text for path, text in read_tree().items() if path.startswith("datasets/unclip_pairs/")]
    assert undeclared(texts, declared()) == []


def test_tests_and_benchmarks_declare_what_they_import() -> None:
    """But for the peers of a benchmark, which run in environments of their own."""
    own = {path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")} | {"guards"}
    texts = [text for path, text in read_tree().items() if path.startswith(("tests/", "benchmarks/")) and "/peers/" not in path]
    assert set(undeclared(texts, declared("all", "dev", *OPTIONAL) | installed_apart())) - own == set()


def test_an_undeclared_import_is_seen() -> None:
    planted = with_lines(read_tree(), "datasets/unclip_crawl/consent.py", "def late():\n    import yaml, twisted, torch, networkx")
    texts = [text for path, text in planted.items() if path.startswith("datasets/")]
    assert undeclared(texts, declared("data", *OPTIONAL) | installed_apart()) == ["networkx", "torch"]
    planted = with_lines(read_tree(), "datasets/unclip_curation/policy.py", "def late():\n    import scrapy")
    planted = with_lines(planted, "deploy/unclip_safety/outputs.py", "def late():\n    import unclip_curation.policy")
    assert undeclared(reached(planted, "deploy"), declared("serve", *OPTIONAL)) == ["scrapy"]


def test_a_distribution_has_the_same_bounds_in_every_extra() -> None:
    bounds: dict[str, set[str]] = defaultdict(set)
    for one in requirements(*project()["optional-dependencies"]):
        bounds[one.name].add(str(one.specifier))
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_no_shelf_installs_what_belongs_to_another() -> None:
    """A serving container has neither Scrapy nor Dagster, a crawler has no torch, and an orchestrator trains elsewhere."""
    assert {"scrapy", "dagster", "lightning"} <= set(blocked("serve"))
    assert {"torch", "mlflow", "dagster", "fastapi"} <= set(blocked("data"))
    assert {"scrapy", "dagster", "uvicorn"} - set(blocked("train")) <= {"uvicorn"}  # mlflow brings uvicorn
    assert {"torch", "lightning", "mlflow"} <= set(blocked("orchestrate"))
    assert not {"scrapy", "dagster", "torch", "fastapi", "mlflow"} & set(blocked("all"))


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_can_be_imported_where_the_others_libraries_are_missing(shelf: str) -> None:
    tree = read_tree()
    names = packages_of(shelf, tree)
    alone([EXTRA_OF_SHELF[shelf]], [module for module in modules(tree) if module.split(".")[0] in names])


def test_a_library_of_another_shelf_is_seen_when_it_is_imported() -> None:
    with pytest.raises(AssertionError, match="No module named 'scrapy'"):
        alone(["serve"], ["scrapy"])


def every_command() -> list[list[str]]:
    """The words of every command and group of `unclip`, the top itself included."""
    todo: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    found: list[list[str]] = []
    while todo:
        words, command = todo.pop()
        found.append(words)
        todo += [([*words, name], below) for name, below in getattr(command, "commands", {}).items()]
    return found


@pytest.mark.parametrize("extras", [(), ("serve",), ("data",)], ids=["nothing", "serve", "data"])
def test_every_help_is_shown_where_little_is_installed(extras: tuple[str, ...]) -> None:
    commands = every_command()
    answers = alone(extras, [], [[*command, "--help"] for command in commands])
    assert len(answers) == len(commands) > 30
    for command, (code, output) in zip(commands, answers, strict=True):
        assert (code, "Usage: unclip" in output) == (0, True), f"{command}: {output}"


@pytest.mark.parametrize(
    ("extras", "command", "library", "remedy"),
    [
        (["serve"], ["demo", "--size", "smoke"], "dagster", "orchestrate"),
        (["data"], ["serve", "api"], "sqlalchemy|fastapi|mlflow", "serve"),
        ([], ["data", "score", "--list"], "safetensors|jinja2|phonenumbers|sklearn|scipy", "data"),
    ],
)
def test_a_command_whose_library_is_missing_names_the_extra(
    tmp_path: Path, extras: list[str], command: list[str], library: str, remedy: str
) -> None:
    ((code, output),) = alone(extras, [], [["--home", str(tmp_path), *command]])
    assert code == 2
    assert re.fullmatch(rf"unclip: this command needs ({library}); install it with pip install 'unclip\[{remedy}\]'\n", output), output


def test_the_extra_of_a_package_is_its_shelf_s() -> None:
    tree = read_tree()
    below = {name: EXTRA_OF_SHELF[shelf] for shelf in ("datasets", "training", "deploy") for name in packages_of(shelf, tree)}
    assert below == EXTRAS | {"unclip_pairs": "data"}  # unclip_pairs needs the base only


def test_every_package_says_that_it_is_typed() -> None:
    packages = [path.parent for path in ROOT.glob("*/unclip_*/__init__.py")]
    assert [str(package) for package in packages if not (package / "py.typed").is_file()] == []


def test_the_addresses_of_the_project_are_left_open() -> None:
    assert "urls" not in project()
    assert all("email" not in author for author in project()["authors"])

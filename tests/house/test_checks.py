"""Checks: `make check`, the hooks before a commit and CI ask the same."""

import re
from typing import Any

import yaml

from guards.sources import ROOT


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, `$(BIN)` spelt out."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found, target
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def hooks() -> list[dict[str, Any]]:
    return [hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]


def test_the_hooks_are_the_checks_of_make() -> None:
    assert [hook["entry"] for hook in hooks()] == recipe("check")
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in hooks())


def test_make_check_runs_every_guard() -> None:
    """But those of `tests/house` that start processes: `make test` runs them."""
    folders = {argument for line in recipe("check") for argument in line.split() if argument.startswith("tests/")}
    assert {"tests/test_house.py", "tests/house/test_planted.py", "tests/house/test_checks.py", "tests/test_docs.py"} == folders
    for tool in ("ruff format", "ruff check", "pyright", "lint-imports"):
        assert any(f"/{tool}" in line for line in recipe("check")), tool


def test_ci_runs_make_check_and_the_small_demo_once() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.count("make check") == script.count("demo --size smoke") == script.count("make test") == 1

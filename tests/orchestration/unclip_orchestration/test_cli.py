"""Tests of the command line from outside: what it teaches, how quick it is, and what it says to a mistake."""

import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from typer.testing import CliRunner

from unclip_orchestration.cli import app
from unclip_orchestration.cli_reference import root

UNCLIP = [sys.executable, "-m", "unclip_orchestration.cli"]


def unclip(*words: str | Path, home: Path | None = None, timeout: float = 250) -> subprocess.CompletedProcess[str]:
    place = ["--home", str(home)] if home is not None else []
    return subprocess.run([*UNCLIP, *place, *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False)


def assert_one_sentence(answer: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2, nothing on standard output, and after what progress there was one line on standard error that holds the parts."""
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    said = answer.stderr.strip().splitlines()
    assert [line for line in said if line.startswith("unclip: ")] == said[-1:], answer.stderr
    assert not any("Traceback" in line for line in said)
    assert [part for part in parts if part not in said[-1]] == [], said[-1]


def commands_of(help_text: str) -> list[str]:
    """The names in the first column of the help's panels of commands."""
    panels = re.findall(r"^╭─ (?!Options|Arguments)[^\n]*\n(.*?)^╰", help_text, re.M | re.S)
    return [name for panel in panels for name in re.findall(r"^│ ([a-z]+)  ", panel, re.M)]


def test_help_names_every_command_and_says_where_to_begin() -> None:
    said = unclip("--help").stdout
    tops = ["demo", "generate", "variations", "starter", "data", "policy", "dataset", "leaks", "faces", "label", "model", "serve", "keys"]
    assert commands_of(said) == tops
    assert "UNCLIP_HOME" in said and "Begin with" in said


@pytest.mark.parametrize("group", [name for name, command in root().commands.items() if isinstance(command, click.Group)])
def test_a_groups_help_names_its_commands(group: str) -> None:
    command = root().commands[group]
    assert isinstance(command, click.Group)
    assert commands_of(CliRunner().invoke(app, [group, "--help"]).output) == list(command.commands)


def test_the_version_is_told() -> None:
    assert unclip("--version").stdout == f"unclip {version('unclip')}\n"


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    script = (
        "import unclip_orchestration.cli, sys; print([m for m in ('dagster', 'torch', 'mlflow', 'duckdb', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    seconds = "import time, typer.testing; from unclip_orchestration.cli import app; typer.testing.CliRunner().invoke(app, ['--help'])"
    answer = subprocess.run([sys.executable, "-c", f"{seconds}; print(time.process_time())"], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 1.0  # processor seconds, which other work on the machine does not stretch


def test_an_unknown_size_of_the_demo_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert_one_sentence(unclip("demo", "--size", "huge", home=tmp_path), "--size", "'huge'", "full, smoke")


def test_a_home_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path, port: int) -> None:
    (tmp_path / "file").write_text("in the way")
    assert_one_sentence(unclip("demo", "--size", "smoke", "--port", str(port), home=tmp_path / "file" / "home"), "UNCLIP_HOME", "file")


def test_a_busy_port_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert_one_sentence(unclip("demo", "--port", str(port), home=tmp_path), str(port), "--port")


def test_a_missing_champion_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert_one_sentence(unclip("generate", "a red apple", home=tmp_path), "champion", "unclip demo")


def test_an_unknown_recipe_is_told_in_one_sentence(tmp_path: Path) -> None:
    answer = unclip("model", "train", "prior_enormous", home=tmp_path)
    assert_one_sentence(answer, "prior_enormous", "prior_tiny")


def test_a_batch_without_sources_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert_one_sentence(unclip("data", "crawl", "--batch", "nowhere", home=tmp_path), "'nowhere'", "no sources")


def test_a_broken_list_is_told_in_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "list.jsonl"
    broken.write_text('{"url": "http://127.0.0.1/a.png", "caption": "a"}\n{"url": \n')
    answer = unclip("data", "crawl", "--batch", "lists", "--contact", "me@example.org", "--list", broken, home=tmp_path / "home")
    assert_one_sentence(answer, "list.jsonl", "2")


def test_an_environment_that_is_not_known_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_ENV", "moon")
    assert_one_sentence(unclip("data", "verdicts", home=tmp_path), "UNCLIP_ENV", "'moon'", "local, staging, production")


def test_keys_are_made_shown_once_and_taken_back(tmp_path: Path) -> None:
    key = unclip("keys", "create", "ada", home=tmp_path).stdout.strip()
    assert len(key) > 20
    listed = unclip("keys", "list", home=tmp_path).stdout
    assert "ada" in listed and key not in listed
    assert unclip("keys", "revoke", "ada", home=tmp_path).returncode == 0


def test_an_evaluation_set_is_added_and_named(tmp_path: Path) -> None:
    from PIL import Image

    pictures, home = tmp_path / "pictures", tmp_path / "home"
    pictures.mkdir()
    Image.linear_gradient("L").save(pictures / "gradient.png")
    assert "gradients: 1 pictures" in unclip("leaks", "add", "gradients", "--folder", pictures, home=home).stdout
    assert "1  gradients" in unclip("leaks", "list", home=home).stdout
    assert_one_sentence(unclip("leaks", "add", "more", home=home), "--folder", "--dataset")

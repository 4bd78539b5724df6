"""Tests of the command line's reference: `docs/cli.md` is what the commands say of themselves, and they say enough."""

import re
from pathlib import Path

import pytest

from unclip_orchestration.cli_reference import VARIABLES, Leaf, first_paragraph, help_of, leaves, reference, root, shown, variables

PAGE = Path(__file__).parents[3] / "docs/cli.md"
LEAVES = list(leaves(root()))


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text("utf-8") == reference(), "run `make docs`"


def test_there_are_commands() -> None:
    assert len(LEAVES) > 40


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
def test_a_command_says_what_it_does_and_what_each_argument_is(leaf: Leaf) -> None:
    line = first_paragraph(leaf.help)
    assert line[:1].isupper() and line.endswith(".") and len(line) <= 120
    assert [one.name for one in shown(leaf.command) if not help_of(one)] == [], "click must be below 8.5 beside typer 0.25"
    assert [one.name for one in shown(leaf.command) if not help_of(one).endswith(".")] == []


def test_every_group_says_what_it_is_for() -> None:
    lines = {name: command.help or "" for name, command in root().commands.items()}
    assert [name for name, line in lines.items() if not line.strip() or not first_paragraph(line).endswith(".")] == []


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    common, server = variables()
    assert set(common) | set(server) == set(VARIABLES)
    assert len(common) >= 7 and len(server) >= 6


def test_a_variable_that_an_option_names_is_read_by_its_command() -> None:
    common, server = variables()
    named = 0
    for leaf in LEAVES:
        read = {*common, *(server if leaf.words == ("serve", "api") else ())}
        wanted = re.findall(r"\$([A-Z_]+)", leaf.help + " ".join(help_of(one) for one in shown(leaf.command)))
        assert [name for name in wanted if name not in read] == [], leaf.name
        named += len(wanted)
    assert named >= 8

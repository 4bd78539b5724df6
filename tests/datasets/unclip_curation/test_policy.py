"""Tests of policy files: what is refused, what is inherited, what makes another version."""

from pathlib import Path

import pytest

from unclip_curation.policy import load_policy
from unclip_pairs.errors import UserError


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_sied: 3", "min_sied"),
        ("min_side: big", "min_side"),
        ("min_side: 2.5", "whole number"),
        ("drop_email: 1", "true or false"),
        ("licences: MIT", "list of words"),
        ("- a", "field: value"),
        ("a: [", "not YAML"),
        ("extends: nowhere.yaml", r"nowhere\.yaml"),
        ("sql: nowhere.sql", r"nowhere\.sql"),
    ],
)
def test_a_wrong_policy_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        load_policy(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_policy_says_only_what_differs(tmp_path: Path) -> None:
    base = load_policy()
    mine = load_policy(written(tmp_path, "extends: default\nmin_side: 99\n"))
    assert mine.settings == base.settings | {"min_side": 99} and mine.sql == base.sql
    written(tmp_path, "extends: mine.yaml\nmax_aspect: 2\n", "theirs.yaml")
    theirs = load_policy(tmp_path / "theirs.yaml")
    assert (theirs.settings["min_side"], theirs.settings["max_aspect"]) == (99, 2)


def test_a_circle_of_policies_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "extends: b.yaml", "a.yaml")
    written(tmp_path, "extends: a.yaml", "b.yaml")
    with pytest.raises(UserError, match="circle"):
        load_policy(tmp_path / "a.yaml")


def test_the_version_follows_thresholds_and_sql_but_not_comments(tmp_path: Path) -> None:
    base = load_policy().version
    assert load_policy(written(tmp_path, "# only a remark\n")).version == base
    assert load_policy(written(tmp_path, "min_side: 25\n")).version != base
    written(tmp_path, load_policy().sql + "\n-- more", "mine.sql")
    assert load_policy(written(tmp_path, "sql: mine.sql\n")).version != base

"""Tests of comparisons of policies: who comes and goes, in which words, and what a threshold does along its range."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from unclip_curation.decisions.policy_diff import frequent_words, policy_diff, policy_sweep, telling
from unclip_curation.policy import Policy, load_policy
from unclip_curation.reports.policy_pages import diff_page, sweep_page
from unclip_curation.samples import pictures_of, spread
from unclip_curation.scorers import registry
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store


def scored(store: Store) -> None:
    registry.score(store, "a", ["picture", "caption"], workers=1)


@pytest.fixture
def sizes(store: Store, crawl_batch: Any, draw: Any) -> list[str]:
    rows = [{"caption": f"a circle of {side} points", "image": draw("circle", "red", side), "original_side": side} for side in (30, 60, 90)]
    other = {"caption": "a <b>cross</b>", "image": draw("cross", "blue", 2), "licence": "CC-BY-NC-4.0", "url": "http://a.test/x.png"}
    keys: list[str] = crawl_batch([*rows, other])
    scored(store)
    return keys


def test_a_diff_shows_words_and_pictures_and_escapes_what_the_web_says(store: Store, sizes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("min_side: 50\nlicences: [CC0-1.0, CC-BY-NC-4.0]\n")
    diff = policy_diff(store, load_policy(), load_policy(path))
    assert diff.keys(came=True) == [sizes[3]] and diff.keys(came=False) == [sizes[0]]
    words = frequent_words(store, diff.keys(came=False))
    assert [(word.word, word.count, word.share, word.share_everywhere) for word in words] == [
        ("circle", 1, 1.0, 0.75),
        ("points", 1, 1.0, 0.75),
    ]
    page = diff_page(store, diff, "default", "mine<script>")
    assert page.count("data:image/jpeg;base64,") == 2 and "<script>" not in page and "cross" in page
    assert list(pictures_of(store, [sizes[2], sizes[0], "nobody"])) == [sizes[2], sizes[0]]


def test_a_sweep_decides_once_for_each_value(store: Store, sizes: list[str]) -> None:
    steps = list(policy_sweep(store, load_policy(), "min_side", [20, 50.2, 50.4, 80]))
    assert [(step.value, step.kept) for step in steps] == [(20, 3), (50, 2), (80, 1)] and telling(steps) == []
    page = sweep_page("min_side", 24, steps)
    assert "polyline" in page and "No planted class" in page and "in force: 24" in page
    assert "in force: 90" not in sweep_page("min_side", 90, steps), "a threshold outside the range is not drawn"
    with pytest.raises(UserError, match="'licences' is no number"):
        list(policy_sweep(store, load_policy(), "licences", [1]))


def test_a_sweep_shows_the_recall_of_what_was_planted(store: Store, crawl_batch: Any, draw: Any) -> None:
    blank = Image.new("RGB", (64, 64), "white")
    crawl_batch(
        [
            {"caption": "a blank", "image": blank, "url": "http://a.test/p/blank.png"},
            {"caption": "a circle", "image": draw("circle", "red")},
        ]
    )
    scored(store)
    store.path("starter").mkdir()
    row = {"url_path": "/p/blank.png", "planted": "blank", "concept": None, "duplicate_of": None, "split": None}
    write_table(pa.Table.from_pylist([row]), store.path("starter/truth.parquet"))
    policy = load_policy()
    off = Policy(policy.settings | {"min_entropy": 0.0, "max_flat_share": 1.0}, policy.sql)
    steps = list(policy_sweep(store, off, "min_contrast", [0, 2]))
    assert [step.recall["blank"] for step in steps] == [0.0, 1.0] and telling(steps) == ["blank"]
    assert "recall of blank" in sweep_page("min_contrast", 2.0, steps)


def test_a_spread_is_even_and_keeps_the_order() -> None:
    assert spread([str(i) for i in range(10)], 5) == ["0", "2", "4", "6", "8"] and spread(["a"], 5) == ["a"]

"""Tests of the page check: a page whose captions slipped is found, pages that are right are left alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.decisions.verdicts import decide
from unclip_curation.policy import load_policy
from unclip_curation.scorers import registry
from unclip_curation.scorers.caption_agreement import page_fits, score_agreement, standardised, weighted_words
from unclip_pairs.store import Store


def slipped(rows: list[dict[str, Any]], page: str) -> list[dict[str, Any]]:
    """The same rows, with the captions of one page moved on by seven."""
    mine = [row for row in rows if row["page"] == page]
    captions = {id(row): mine[(number + 7) % len(mine)]["caption"] for number, row in enumerate(mine)}
    return [row | {"caption": captions.get(id(row), row["caption"])} for row in rows]


def test_a_page_with_slipped_captions_stands_out(store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    crawl_batch(slipped(shapes(240, per_page=20), "http://a.test/4.html"))
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", load_policy())
    manifest = score_agreement(store)
    fits = {row["page_url"]: row["page_fit"] for row in read_table(store.path("features/agreement.parquet")).to_pylist()}
    assert sorted(fits, key=lambda page: fits[page])[0] == "http://a.test/4.html"
    limit = load_policy().number("agreement_min_fit")
    assert [page for page, fit in fits.items() if fit < limit] == ["http://a.test/4.html"]
    assert score_agreement(store) == manifest, "a second run gives the same"


def test_more_features_may_be_given(store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    crawl_batch(shapes(30))
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", load_policy())
    manifest = score_agreement(store, lambda keys: np.ones((len(keys), 3), dtype=np.float32), "ones")
    assert manifest.settings["features"] == "ones"


def test_captions_at_random_fit_by_about_one_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(30)]
    captions = [" ".join(rng.choice(words, 3)) for _ in range(400)]
    fits = page_fits(standardised(rng.normal(size=(400, 20)).astype(np.float32)), captions, [f"p{row // 20}" for row in range(400)])
    scores = np.array([fits[row]["page_fit"] for row in range(0, 400, 20)])
    assert abs(scores.mean()) < 0.8 and 0.4 < scores.std() < 1.8


def test_pages_too_small_to_judge_have_no_fit(draw: Callable[..., Image.Image]) -> None:
    grids = np.stack([np.asarray(draw("circle", "red", seed).resize((4, 4))).ravel() for seed in range(3)]).astype(np.float32)
    fits = page_fits(standardised(grids), ["a b", "a c", "b c"], ["p", "", "q"])
    assert [(fit["page_rows"], fit["page_fit"]) for fit in fits] == [(1, None), (0, None), (1, None)]
    same = page_fits(standardised(grids), ["a b"] * 3, ["p"] * 3)
    assert [fit["page_fit"] for fit in same] == [None] * 3, "equal captions cannot be told apart"


def test_word_vectors_have_length_one_or_zero() -> None:
    words = weighted_words(["red circle one", "blue circle two", "red square three", "alone"] * 2 + ["xyz"] * 1)
    lengths = np.linalg.norm(words.dense(np.arange(9)), axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))

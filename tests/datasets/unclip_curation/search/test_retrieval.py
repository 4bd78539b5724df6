"""Tests of search: what is near is found, and what may not be shown is not, from the moment that is said."""

from typing import Any

import numpy as np
import pytest

from unclip_curation.decisions.takedown_effects import meant_by
from unclip_curation.search.retrieval import ExactEngine, SearchQuery, search
from unclip_curation.search.visibility import Visibility
from unclip_pairs.errors import UserError
from unclip_pairs.takedowns import Takedown, record


def keys(searchable: Any, visibility: Visibility, asked: SearchQuery, words: str = "red") -> list[str]:
    engine = ExactEngine(searchable.store, searchable.folder)
    return [row["key"] for row in search(engine, visibility, searchable.words(words), asked)]


def test_words_find_pictures_of_their_colour_and_a_picture_finds_itself(searchable: Any) -> None:
    engine, visibility = ExactEngine(searchable.store, searchable.folder), Visibility(searchable.store)
    found = search(engine, visibility, searchable.words("something red"), SearchQuery(count=6))
    assert [row["caption"].split()[1] for row in found] == ["red"] * 6
    assert {"key", "url", "caption", "similarity", "id", "index"} <= set(found[0]) and found[0]["index"] == "a"
    assert [row["similarity"] for row in found] == sorted((row["similarity"] for row in found), reverse=True)
    base = np.load(searchable.store.path(f"{searchable.folder}/a/img_emb/img_emb_0.npy"), allow_pickle=False)
    best = [engine.near("a", vector, 1)[0] for vector in base]
    assert [row["id"] for row in best] == list(range(24)) and best[3]["similarity"] == pytest.approx(1, abs=1e-5)
    assert [row["key"] for row in engine.described("a", [3, 99, 0])] == [best[3]["key"], best[0]["key"]]
    with pytest.raises(UserError, match="48"):
        engine.near("a", np.ones(7), 3)


def test_what_was_taken_down_takes_nobodys_place(searchable: Any) -> None:
    visibility, asked = Visibility(searchable.store), SearchQuery(count=5)
    first = keys(searchable, visibility, asked)
    for key in first[:4]:
        record(searchable.store, meant_by(searchable.store, "key", key))
    left = keys(searchable, visibility, asked)
    assert len(left) == 5 and left[0] == first[4] and not set(left) & set(first[:4])
    record(searchable.store, Takedown(kind="host", value="pictures.test"))
    assert keys(searchable, visibility, asked) == []


def test_what_the_safety_stage_or_a_probe_refuses_is_hidden_unless_all_is_asked_for(searchable: Any) -> None:
    visibility, asked = Visibility(searchable.store), SearchQuery(count=24)
    first = keys(searchable, visibility, asked)
    assert len(first) == 24
    searchable.decide("safety", {first[0]: "explicit"})
    assert keys(searchable, visibility, asked) == first[1:]
    searchable.decide("final", {first[1]: "category_probe", first[2]: "duplicate_exact"})
    assert keys(searchable, visibility, asked) == first[2:]
    assert keys(searchable, Visibility(searchable.store, safe=False), asked) == first


def test_copies_are_left_out_when_that_is_asked_for(searchable: Any) -> None:
    visibility = Visibility(searchable.store)
    first = keys(searchable, visibility, SearchQuery(count=24, distinct=True))
    searchable.decide("duplicate", {first[0]: "duplicate_exact"})
    assert keys(searchable, visibility, SearchQuery(count=24, distinct=True)) == first[1:]
    assert keys(searchable, visibility, SearchQuery(count=24)) == first


def test_without_safety_verdicts_a_safe_search_says_what_is_missing(searchable: Any) -> None:
    searchable.store.path("verdicts/safety.json").unlink()
    with pytest.raises(UserError, match="--unsafe"):
        keys(searchable, Visibility(searchable.store), SearchQuery())
    with pytest.raises(UserError, match="embed the pairs first"):
        _ = ExactEngine(searchable.store, "embeddings/deadbeef").indices

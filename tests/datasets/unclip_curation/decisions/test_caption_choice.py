"""Tests of the choice of captions: a text passes where it would pass as the caption, and a refused one never reaches a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from unclip_curation.caption_lists import CaptionList, read_caption_lists
from unclip_curation.decisions.caption_choice import choose_captions, chosen_captions
from unclip_curation.policy import Policy, load_policy
from unclip_curation.schemas import TOXICITY_SCHEMA
from unclip_curation.scorers.registry import score
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

Crawl = Callable[..., list[str]]
POLICY = load_policy()


def changed(**settings: object) -> Policy:
    return Policy(POLICY.settings | settings, POLICY.sql)


def chosen(store: Store, keys: list[str], policy: Policy = POLICY) -> list[list[str]]:
    """The texts beside the caption of each key, after scoring."""
    score(store, "a", ["caption", "wording", "caption_candidates"], workers=1)
    found = {row["key"]: row["texts"] for row in chosen_captions(store, policy, set(keys)).to_pylist()}
    return [found.get(key, []) for key in keys]


def apple(**texts: str) -> dict[str, Any]:
    return {"caption": "A red apple", **texts}


def test_longer_texts_come_first_and_what_stands_around_comes_last(store: Store, crawl_batch: Crawl) -> None:
    row = apple(
        title="Apple, red", figcaption="A ripe red apple with a leaf", text_after="A shiny new red apple fell from its old tree. More"
    )
    keys = crawl_batch([row])
    texts = ["A ripe red apple with a leaf", "Apple, red", "A shiny new red apple fell from its old tree."]
    assert chosen(store, keys) == [texts]
    assert chosen(store, keys, changed(max_captions=2)) == [texts[:1]] and chosen(store, keys, changed(max_captions=1)) == [[]]


@pytest.mark.parametrize(
    "refused",
    [
        "IMG_1234.jpg",
        "Click here to enlarge",
        "red apple, write to me@example.org",
        "red apple, call +1 650 253 0000",
        "apple apple apple apple apple apple",
        "ein roter Apfel liegt auf dem Tisch",
        "这是一个红苹果",
        "an",
        "with the other",
        "red apple " * 50,
    ],
)
def test_what_may_not_be_a_caption_may_not_stand_beside_one(store: Store, crawl_batch: Crawl, refused: str) -> None:
    keys = crawl_batch([apple(title=refused, figcaption="A ripe fruit")])
    assert chosen(store, keys) == [["A ripe fruit"]]


def test_a_sentence_around_must_hold_what_the_caption_says(store: Store, crawl_batch: Crawl) -> None:
    keys = crawl_batch([apple(text_before="It rains. A green apple.", text_after="This apple is red. More")])
    assert chosen(store, keys) == [["This apple is red."]]
    assert chosen(store, keys, changed(min_surrounding_agreement=0.5)) == [["A green apple.", "This apple is red."]]
    assert chosen(store, keys, changed(min_surrounding_agreement=2.0)) == [[]]


def test_a_text_under_many_pictures_captions_none_and_takes_no_caption_away(store: Store, crawl_batch: Crawl, shapes: Any) -> None:
    rows = [row | {"title": "Our drawings of shapes"} for row in shapes(14)]
    rows[0] |= {"caption": "our drawings of shapes", "title": "One shape"}
    keys = crawl_batch(rows)
    assert chosen(store, keys) == [["One shape"], *[[]] * 13]
    assert chosen(store, keys, changed(max_caption_repeats=13))[1] == ["Our drawings of shapes"]


def test_a_toxic_title_goes_and_so_does_one_that_nobody_judged(store: Store, crawl_batch: Crawl) -> None:
    keys = crawl_batch([apple(title="rude words", figcaption="kind words"), apple(title="new words") | {"url": "http://a.test/new.png"}])
    scores = [{"key": keys[0], "toxicity": 0.0, "candidate_toxicity": [0.9, 0.1]}]
    write_parquet(store, "features/a/toxicity.parquet", pa.Table.from_pylist(scores, schema=TOXICITY_SCHEMA))
    write_manifest(store, "features/a/toxicity.json", make_manifest(store, "features", ["features/a/toxicity.parquet"]))
    assert chosen(store, keys) == [["rude words", "kind words"], ["new words"]]
    assert chosen(store, keys, changed(max_toxicity=0.5)) == [["kind words"], ["new words"]]
    relied = [*POLICY.scorers, "toxicity"]
    assert chosen(store, keys, changed(max_toxicity=0.5, scorers=relied)) == [["kind words"], []]


def test_captions_are_chosen_once_for_the_safety_verdicts(store: Store, crawl_batch: Crawl, tmp_path: Path) -> None:
    (key,) = crawl_batch([apple(title="A ripe fruit")])
    score(store, "a", ["caption_candidates"], workers=1)
    with pytest.raises(UserError, match="decide the stage 'safety' first"):
        choose_captions(store, POLICY)
    decided(store, key, POLICY)
    manifest = choose_captions(store, POLICY)
    assert manifest.counts == {"rows": 1, "texts": 1} and choose_captions(store, POLICY).created == manifest.created
    assert read_caption_lists(store) == {key: CaptionList(("A ripe fruit",), ("title",))}
    decided(store, key, changed(max_captions=1))
    with pytest.raises(UserError, match="other verdicts than verdicts/safety"):
        read_caption_lists(store)
    with pytest.raises(UserError, match="the safety verdicts are of policy"):
        choose_captions(store, POLICY)
    choose_captions(store, changed(max_captions=1))
    assert read_caption_lists(store) == {}


def decided(store: Store, key: str, policy: Policy) -> None:
    """Safety verdicts that keep the key."""
    write_parquet(store, "verdicts/safety.parquet", pa.table({"key": [key], "keep": [True]}))
    settings = {"policy_version": policy.version}
    write_manifest(store, "verdicts/safety.json", make_manifest(store, "verdicts", ["verdicts/safety.parquet"], settings=settings))

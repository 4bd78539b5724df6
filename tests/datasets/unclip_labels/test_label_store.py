"""Tests of the label book: what is said stays, what is taken back stays visible, and raters are compared."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from unclip_labels.import_export import read_seeds, written
from unclip_labels.label_store import DISPUTED, HELD_OUT, TRAIN, LabelStore, open_labels
from unclip_labels.raters import RestAdvice, agreements, cohen_kappa, disputed, progress
from unclip_labels.specifications import parse, read_specification
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store

PAGES = Path(__file__).parents[3] / "docs/specifications"


@pytest.fixture
def book(tmp_path: Path) -> LabelStore:
    found = open_labels(open_store(tmp_path))
    found.define(read_specification(PAGES / "weapons.md"))
    return found


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_specification_that_ships_is_whole(page: Path) -> None:
    specification = read_specification(page)
    assert specification.question.endswith("?")
    assert len(specification.words) >= 3


def test_a_specification_without_a_section_is_refused() -> None:
    with pytest.raises(UserError, match="'What does not'"):
        parse("weapons", "# Weapons\n\nIs it?\n\n## What counts\n\n* yes\n")
    with pytest.raises(UserError, match="lower-case"):
        parse("../weapons", "")


def test_a_new_wording_holds_and_earlier_labels_keep_theirs(book: LabelStore) -> None:
    book.add_items("weapons", ["a"], TRAIN, "seed")
    book.label("weapons", "a", "anna", "yes")
    before = book.specification("weapons")
    book.define(parse("weapons", before.text + "\n* Chairs do not count.\n"))
    book.label("weapons", "a", "ben", "no")
    wordings = [said["specification"] for said in book.all_labels("weapons")]
    assert wordings == [before.digest, book.specification("weapons").digest]
    assert wordings[0] != wordings[1]


def test_what_is_taken_back_stays_in_the_history(book: LabelStore) -> None:
    book.add_items("weapons", ["a", "b"], TRAIN, "seed")
    book.label("weapons", "a", "anna", "yes")
    book.label("weapons", "b", "anna", "yes")
    book.label("weapons", "a", "anna", "no")
    assert book.undo("weapons", "anna") == "a"
    assert [dict(item.labels) for item in book.items("weapons")] == [{}, {"anna": "yes"}]
    assert book.history("weapons", "a") == [("anna", "yes", False), ("anna", "no", False)]
    assert book.undo("weapons", "ben") is None


def test_a_rater_is_asked_until_enough_have_looked_and_agree(book: LabelStore) -> None:
    book.add_items("weapons", ["a", "b"], TRAIN, "seed", raters=2)
    book.label("weapons", "a", "anna", "yes")
    assert [item.key for rater in ("anna", "ben") if (item := book.next_item("weapons", rater))] == ["b", "a"]
    book.label("weapons", "a", "ben", "no")
    assert book.items("weapons")[0].consensus == DISPUTED
    assert [item.key for item in disputed(book.items("weapons"))] == ["a"]
    assert (item := book.next_item("weapons", "carla")) and item.key == "a"
    book.label("weapons", "a", "carla", "yes")
    assert book.items("weapons")[0].consensus == "yes"
    assert progress(book.items("weapons"), "anna").answered == 1


def test_the_same_picture_is_asked_about_once(book: LabelStore) -> None:
    assert book.add_items("weapons", ["a", "b", "a"], TRAIN, "seed") == 2
    assert book.add_items("weapons", ["b", "c"], HELD_OUT, "random") == 1
    assert [(item.key, item.part, item.round) for item in book.items("weapons")] == [("a", TRAIN, 1), ("b", TRAIN, 1), ("c", HELD_OUT, 2)]


def test_what_is_unknown_is_refused_in_a_sentence(book: LabelStore) -> None:
    book.add_items("weapons", ["a"], TRAIN, "seed")
    for call, words in (
        (lambda: book.label("weapons", "a", "anna", "perhaps"), "'perhaps'"),
        (lambda: book.label("weapons", "z", "anna", "yes"), "nobody was asked"),
        (lambda: book.label("weapons", "a", " ", "yes"), "rater's name"),
        (lambda: book.items("tools") or book.specification("tools"), "no category 'tools'"),
    ):
        with pytest.raises(UserError, match=words):
            call()


def test_seeds_come_in_once_and_everything_goes_out(book: LabelStore) -> None:
    seeds = '{"key": "a", "label": "yes"}\n\n{"key": "b", "label": "no", "rater": "anna"}\n'
    assert read_seeds(book, "weapons", seeds) == 2
    assert read_seeds(book, "weapons", seeds) == 0
    book.undo("weapons", "anna")
    lines = [json.loads(line) for line in written(book, "weapons")]
    assert [(line["key"], line["rater"], line["label"], line["withdrawn"] is None) for line in lines] == [
        ("a", "seeds", "yes", True),
        ("b", "anna", "no", False),
    ]
    with pytest.raises(UserError, match="line 2"):
        read_seeds(book, "weapons", '{"key": "c", "label": "yes"}\nnonsense\n')
    assert len(book.items("weapons")) == 2


def test_kappa_is_cohens() -> None:
    # his example of 1960, in the form of a two-by-two table: 20 both yes, 15 both no, 5 and 10 apart
    answers = [("yes", "yes")] * 20 + [("no", "no")] * 15 + [("yes", "no")] * 5 + [("no", "yes")] * 10
    assert cohen_kappa(answers) == pytest.approx(0.4)
    assert cohen_kappa([("no", "no")] * 9) is None
    assert cohen_kappa([]) is None


def test_who_was_not_sure_is_not_compared(book: LabelStore) -> None:
    book.add_items("weapons", ["a", "b", "c"], TRAIN, "seed", raters=2)
    for key, anna, ben in (("a", "yes", "yes"), ("b", "no", "no"), ("c", "unsure", "no")):
        book.label("weapons", key, "anna", anna)
        book.label("weapons", key, "ben", ben)
    assert [(one.raters, one.shared, one.same, one.kappa) for one in agreements(book.items("weapons"))] == [(("anna", "ben"), 2, 2, 1.0)]


def test_a_break_is_due_after_work_without_a_pause() -> None:
    start, pace = datetime(2026, 1, 1), RestAdvice(minutes=25, answers=120)
    steady = [start + timedelta(seconds=20 * i) for i in range(80)]
    assert pace.is_break_due(steady, steady[-1])
    assert not pace.is_break_due(steady[:70], steady[69])
    assert not pace.is_break_due(steady, steady[-1] + timedelta(minutes=6))
    assert pace.is_break_due([start + timedelta(seconds=i) for i in range(120)], start + timedelta(seconds=121))
    assert not pace.is_break_due([], start)

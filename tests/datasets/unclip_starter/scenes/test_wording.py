"""Tests of the words of scenes: names, plurals, captions, prompts, and that no caption says what only prompts may say."""

import re
from collections.abc import Sequence

import pytest

from unclip_starter.captions import STYLE_WORDS
from unclip_starter.concepts import TONES, Concept
from unclip_starter.scenes.everyday import Everyday, everyday, plural_of, read_table
from unclip_starter.scenes.planning import Palette, held_out_wishes, plain_wishes, training_wishes
from unclip_starter.scenes.prompts import make_prompts
from unclip_starter.scenes.scene import COLOURS, COUNT, KINDS_HELD_OUT, SINGLE, STYLE, Wish
from unclip_starter.scenes.sentences import LONG, MEDIUM, PROMPTS, SHORT, SHORTEST, caption_voice, captions, prompt
from unclip_starter.scenes.withheld import shown, withhold
from unclip_starter.scenes.words import OWN_STYLES, with_article

STYLES = tuple(STYLE_WORDS)
KNOWN = [Concept(row["id"], row["names"][0], "objects", None, ()) for row in read_table()]
THINGS = everyday(KNOWN, {one.id for one in KNOWN}, len(KNOWN))
TONABLE = [THINGS[6].concept.id, THINGS[12].concept.id]


def palette(things: Sequence[Everyday] = THINGS, tonable: Sequence[str] = TONABLE) -> Palette:
    return Palette(
        concepts=things,
        styles=STYLES,
        tonable=tonable,
        withheld=withhold(things, STYLES, tonable, seed=0),
        backgrounds={(style, one.concept.id): list(COLOURS) for style in STYLES for one in things},
        seed=0,
    )


def training() -> list[Wish]:
    plain = [wish for wish in plain_wishes(palette()) if wish.held_out is None]
    return [*plain, *training_wishes(palette(), 3_000)]


def test_the_table_names_each_thing_once_and_no_name_twice() -> None:
    rows = read_table()
    assert 70 <= len(rows) <= 80 and len({row["id"] for row in rows}) == len(rows)
    names = [name for row in rows for name in row["names"] + row["own"]]
    assert len(set(names)) == len(names)
    assert all(2 <= len(row["names"]) <= 4 and 1 <= len(row["own"]) <= 3 for row in rows)


@pytest.mark.parametrize(
    ("name", "plural"),
    [("dog", "dogs"), ("slice of pizza", "slices of pizza"), ("strawberry", "strawberries"), ("fish", "fish"), ("torch", "torches")],
)
def test_plurals_follow_the_first_noun(name: str, plural: str) -> None:
    assert plural_of(name) == plural


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("apple", "an apple"),
        ("scissors", "scissors"),
        ("pair of scissors", "a pair of scissors"),
        ("octopus", "an octopus"),
        ("bus", "a bus"),
    ],
)
def test_names_take_their_article(name: str, words: str) -> None:
    assert with_article(name) == words


def test_there_are_about_25_sentences_for_captions_and_12_for_prompts() -> None:
    assert len({*LONG, *MEDIUM, *SHORT, *SHORTEST}) == 25 and len(set(PROMPTS)) == 12


def test_a_figure_has_four_or_five_true_captions_that_differ_and_the_first_says_everything() -> None:
    wishes, voice = training(), caption_voice(THINGS)
    for wish in wishes:
        found = captions(wish, voice, seed=0)
        assert found == captions(wish, voice, seed=0)
        assert 4 <= len(set(found.true)) == len(found.true) <= 5 and found.true[0] == found.alt
        assert any(word in found.alt for word in STYLE_WORDS[wish.style])
        assert wish.background in found.alt or wish.background == "white"
        assert wish.tone is None or wish.tone in found.alt
        assert all(text.endswith(".") and len(text) < 190 for text in (found.before, found.after))
    alts = [captions(wish, voice, seed=0).alt for wish in wishes]
    assert max(alts.count(alt) for alt in set(alts)) <= 6  # a text under more than twelve pictures would count as boilerplate


def test_no_caption_says_a_name_a_style_or_a_sentence_of_prompts() -> None:
    voice = caption_voice(THINGS)
    text = " | ".join(" ".join(captions(wish, voice, seed=0).true) for wish in training()).lower()
    own = [name for row in read_table() for name in row["own"]] + [word for words in OWN_STYLES.values() for word in words]
    fragments = [part.strip(" ,?") for template in PROMPTS for part in re.split(r"\{\w+\}", template)]
    long = [part for part in fragments if " " in part]
    assert len(long) >= 8
    assert [words for words in own + long if re.search(rf"\b{re.escape(words.lower())}\b", text)] == []


def test_what_is_withheld_is_in_no_wish_of_training_and_in_each_held_out_one() -> None:
    every = palette()
    withheld = every.withheld.combinations
    assert {kind for kind in KINDS_HELD_OUT if withheld[kind]} == set(KINDS_HELD_OUT)
    assert len(withheld[STYLE]) == len(THINGS) // 2 and len({style for _, style in withheld[STYLE]}) == len(STYLES)
    assert not [wish for wish in training() for kind, combination in shown(wish) if combination in withheld[kind]]
    held = list(held_out_wishes(every, 100))
    assert {wish.held_out for wish in held} == set(KINDS_HELD_OUT)
    assert all(every.withheld.kinds(wish) == {wish.held_out} for wish in held)


def test_scenes_are_spread_evenly_over_designs_backgrounds_and_tones() -> None:
    composed = list(training_wishes(palette(), 3_000))
    assert 2_900 <= len(composed) <= 3_000  # who may not stand in front of others is not asked to
    singles = [wish for wish in composed if wish.kind == SINGLE]
    designs = [(wish.concepts[0], wish.style) for wish in singles if wish.concepts[0] not in TONABLE]
    counts = [designs.count(design) for design in set(designs)]
    assert max(counts) - min(counts) <= 1
    assert 0.28 <= sum(wish.background == "white" for wish in singles) / len(singles) <= 0.40
    assert {wish.background for wish in singles} == set(COLOURS)
    assert {wish.tone for wish in singles} == {None, *TONES}
    assert {len(wish.concepts) for wish in composed if wish.kind == COUNT} == {2, 3, 4}


def test_a_prompt_names_what_must_be_painted() -> None:
    voice = caption_voice(THINGS)
    wish = Wish(kind=SINGLE, concepts=("1f34e",), style="noto", number=0, background="teal", size="small")
    texts = {prompt(wish, voice, 0, salt) for salt in range(40)}
    assert len(texts) > 30 and all("teal" in text and "apple" in text for text in texts)


def test_prompts_are_at_most_as_many_as_asked_and_half_are_withheld() -> None:
    sets = make_prompts(palette(), 200)["sets"]
    assert {name: len(entries) for name, entries in sets.items() if len(entries) > 200} == {}
    assert len(sets["own_words"]) == 200 and all(len(entries) >= 140 for entries in sets.values())
    for name in ("attributes", "held_out", "scenes"):
        assert 0.4 <= sum(not entry["seen"] for entry in sets[name]) / len(sets[name]) <= 0.6
    assert all(len({entry["prompt"] for entry in entries}) == len(entries) for entries in sets.values())


def test_without_skin_tones_the_other_sets_are_asked_all_the_same() -> None:
    sets = make_prompts(palette(THINGS[:4], tonable=[]), 12)["sets"]
    assert all(sets.values())
    assert not any(thing["tone"] for entry in sets["attributes"] if entry["scene"] for thing in entry["scene"]["things"])  # type: ignore[index]

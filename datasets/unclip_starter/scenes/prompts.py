"""Prompts of the corpus: what a painter is asked that no caption says, set by set (prompts.json)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import TypedDict

from unclip_pairs.json_value import JsonObject
from unclip_starter.captions import STYLE_WORDS
from unclip_starter.concepts import TONES, order
from unclip_starter.scenes import words
from unclip_starter.scenes.planning import Palette, Theme, theme_of, wish_for
from unclip_starter.scenes.scene import BACKGROUND, COLOURS, COUNT, FRONT, PAIR, PLAIN, RELATION, SINGLE, STYLE, TONE, Wish
from unclip_starter.scenes.sentences import Voice, caption_voice, prompt
from unclip_starter.scenes.setting import unplaced

FORMAT = 1
Turn = tuple[str, str | None]
# what is asked in turn, and which kind of withheld combination it shows
ATTRIBUTES: Sequence[Turn] = (
    (BACKGROUND, BACKGROUND),
    (BACKGROUND, None),
    (TONE, TONE),
    (BACKGROUND, BACKGROUND),
    (BACKGROUND, None),
    (TONE, None),
)
SCENES: Sequence[Turn] = ((RELATION, RELATION), (PAIR, None), (COUNT, COUNT), (COUNT, None), (RELATION, RELATION), (FRONT, None))


class Prompt(TypedDict):
    """One entry of prompts.json. `scene` has no boxes; `seen` is false where training shows no such combination."""

    prompt: str
    concept: str
    style: str
    scene: JsonObject | None
    seen: bool


class Prompts(TypedDict):
    """The file: sets of prompts by name."""

    format: int
    sets: dict[str, list[Prompt]]


def prompt_voices(palette: Palette) -> tuple[Voice, Voice]:
    """Two ways of asking in sentences that no caption has: with names that no caption has either, and with those of captions.

    Style words are half of them the captions'.
    """
    known = caption_voice(palette.concepts)
    styles = {name: (*own, *STYLE_WORDS[name][: len(own)]) for name, own in words.OWN_STYLES.items()}
    known = replace(known, styles=styles, tones=words.OWN_TONES, grounds=words.OWN_GROUNDS, relations=words.OWN_RELATIONS)
    return replace(known, names={one.concept.id: one.own or one.names for one in palette.concepts}), known


def make_prompts(palette: Palette, count: int) -> Prompts:
    """At most `count` prompts a set, the same for the same palette."""
    own, known = prompt_voices(palette)
    sets = {
        "own_words": [_entry(palette, own, wish, with_scene=False) for wish in _seen_designs(palette, count)],
        "attributes": [_entry(palette, known, wish) for wish in _asked(palette, ATTRIBUTES, count)],
        "held_out": [_entry(palette, known, wish, with_scene=False) for wish in _held_out(palette, count)],
        "scenes": [_entry(palette, known, wish) for wish in _asked(palette, SCENES, count)],
    }
    return {"format": FORMAT, "sets": sets}


def _entry(palette: Palette, voice: Voice, wish: Wish, *, with_scene: bool = True) -> Prompt:
    labels = {one.concept.id: one.concept.label for one in palette.concepts}
    shown = unplaced(wish, labels).as_json(boxes=False) if with_scene else None
    text = prompt(wish, voice, palette.seed, wish.number)
    return {"prompt": text, "concept": wish.concepts[0], "style": wish.style, "scene": shown, "seen": wish.held_out is None}


def _plain(name: str, style: str, number: int, held_out: str | None = None) -> Wish:
    return Wish(kind=PLAIN, concepts=(name,), style=style, number=number, held_out=held_out)


def _designs(palette: Palette) -> list[tuple[str, str]]:
    """Those that training shows, shuffled."""
    every = [(one.concept.id, style) for one in palette.concepts for style in palette.styles]
    shown = [design for design in every if design not in palette.withheld.combinations[STYLE]]
    return sorted(shown, key=lambda design: order(palette.seed, "asked", *design))


def _seen_designs(palette: Palette, count: int) -> Iterable[Wish]:
    return (_plain(name, style, number) for number, (name, style) in enumerate(_designs(palette)[:count]))


def _held_out(palette: Palette, count: int) -> list[Wish]:
    """Each withheld style of a concept twice at most, and as many of the same concept in a style that training shows."""
    found, seen = list[Wish](), _designs(palette)
    for number, (name, style) in enumerate(sorted(palette.withheld.combinations[STYLE]) * 2):
        others = [other for known, other in seen if known == name]
        found += [_plain(name, style, number, STYLE), _plain(name, others[number % len(others)], number)]
    return found[: count - count % 2]


def _asked(palette: Palette, turns: Sequence[Turn], count: int) -> list[Wish]:
    """Wishes of the kinds in turn, about `count` of them; a kind without withheld combinations is left out."""
    found = list[Wish]()
    for number in range(count):
        kind, held = turns[number % len(turns)]
        theme = _theme(palette, kind, held, number // len(turns))
        found += wish_for(palette, theme, 10_000 + number, held) if theme else []
    return found


def _theme(palette: Palette, kind: str, held: str | None, number: int) -> Theme | None:
    """The number-th theme of its kind: a withheld combination, or one that training may show; None when there is none."""
    if held:
        withheld = sorted(palette.withheld.combinations[held], key=lambda combination: order(palette.seed, "asked", *combination))
        return theme_of(held, *withheld[number % len(withheld)]) if withheld else None
    rng = Random(order(palette.seed, "theme", kind, number))
    names = list(palette.tonable) if kind == TONE else [one.concept.id for one in palette.concepts]
    if not names:
        return None
    theme = Theme(kind=SINGLE if kind in (TONE, BACKGROUND) else kind, concept=rng.choice(names))
    tone, background = rng.choice(TONES), rng.choice(list(COLOURS)[1:])
    return replace(theme, tone=tone if kind == TONE else None, background=background if kind == BACKGROUND else None)

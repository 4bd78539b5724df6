"""Sentences about a scene: the captions of its figure, and prompts as a person types them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from unclip_starter.captions import BOILERPLATE, STYLE_WORDS, article
from unclip_starter.concepts import order
from unclip_starter.scenes import words
from unclip_starter.scenes.everyday import Everyday
from unclip_starter.scenes.scene import COUNT, WHITE, Wish

LONG = (
    "{a_style} {medium} of {what}{ground}",
    "this {style} {medium} shows {what}{ground}",
    "{what}{ground}, drawn as {a_style} {medium}",
    "here you see {what}{ground} in {a_style} {medium}",
    "{what}{ground} shown as {a_style} {medium}",
    "{a_style} {medium} that shows {what}{ground}",
    "the {style} {medium} of {what}{ground}",
    "we see {what}{ground}, and it is {a_style} {medium}",
    "{a_style} {medium} in which you see {what}{ground}",
    "{a_medium} of {what}{ground} in the {style} style",
)
MEDIUM = (
    "look at {what} in this {style} {medium}",
    "{a_style} {medium} with {what} on it",
    "{what}, {style} {medium}",
    "{what} in the {style} style",
    "{what} as {a_style} {medium}",
    "{style} {medium}, {what}",
    "{a_style} {medium}: {what}",
    "the {medium} shows {what} in {style} style",
)
SHORT = ("{what}{ground}", "{what}", "{a_medium} of {what}{ground}", "{what}, {style}")
SHORTEST = ("{bare}, {style} {medium}", "{style} {bare}", "{bare} {medium}")  # of one thing only
PROMPTS = (
    "I'd like {a_style} {medium} of {what}{ground}, please",
    "draw me {what}{ground}, {style}",
    "please paint {what}{ground} as {a_style} artwork",
    "can you make {a_style} {medium} of {what}{ground}?",
    "I want to have {what}{ground}, {style} look",
    "could I get {what}{ground} in {a_style} {medium}",
    "generate {what}{ground}, {style} design",
    "for my website I need {a_style} {medium} of {what}{ground}",
    "make it {what}{ground}, all {style}",
    "imagine {what}{ground}, {style} art",
    "create {a_style} graphic of {what}{ground}",
    "try {what}{ground}, in {style} fashion",
)
NEUTRAL = (
    "More pictures follow below.",
    "Scroll down for the next one.",
    "This one was added in spring.",
    "Posted in the gallery.",
    "The next picture is on its way.",
)
SAYS_WHITE = 0.35  # how often a white ground is named
SAYS_SIZE = 0.8


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A way of speaking: what things are called, and the words for styles, tones, grounds and relations."""

    names: Mapping[str, Sequence[str]]
    plurals: Mapping[str, str]
    styles: Mapping[str, Sequence[str]]
    tones: Sequence[str]
    grounds: Sequence[str]
    relations: Mapping[str, Sequence[str]]


def caption_voice(concepts: Sequence[Everyday]) -> Voice:
    """How the site's captions speak of these concepts."""
    return Voice(
        names={one.concept.id: one.names for one in concepts},
        plurals={one.concept.id: one.plural for one in concepts},
        styles=STYLE_WORDS,
        tones=words.TONES_SAID,
        grounds=words.GROUNDS,
        relations=words.RELATIONS,
    )


@dataclass(frozen=True)
class Candidates:
    """The captions that a page has for one picture, by their place; `true` are those that describe it, alt first.

    All but alt and title are whole sentences, so that a reader of the page's text finds where they begin and end.
    """

    alt: str
    title: str = ""
    figcaption: str = ""
    before: str = NEUTRAL[0]
    after: str = NEUTRAL[1]
    true: tuple[str, ...] = ()


def what(wish: Wish, voice: Voice, rng: Random, *, sized: bool = True) -> str:
    """The things of a scene and how they stand: a small dog, three apples, a cat beside a tree; without the first article: see `bare`."""
    if wish.kind == COUNT:
        return f"{words.NUMBERS[len(wish.concepts)]} {voice.plurals[wish.concepts[0]]}"
    named = [words.with_article(rng.choice(voice.names[name])) for name in wish.concepts]
    if wish.relation:
        return rng.choice(voice.relations[wish.relation]).format(a=named[0], b=named[1])
    return words.with_article(bare(wish, voice, rng, sized=sized))


def bare(wish: Wish, voice: Voice, rng: Random, *, sized: bool = True) -> str:
    """One thing without an article: small dog, waving hand with dark skin tone."""
    name = rng.choice(voice.names[wish.concepts[0]])
    if wish.tone:
        name = rng.choice(voice.tones).format(name=name, tone=wish.tone)
    if wish.size and sized:
        name = f"{rng.choice(words.SIZES_SAID[wish.size])} {name}"
    return name


def sentence(template: str, wish: Wish, voice: Voice, rng: Random, *, exact: bool = False) -> str:
    """The template filled in for the scene; an exact one names size and every background that is not white."""
    style = rng.choice(voice.styles[wish.style])
    says_ground = wish.background != WHITE or (rng.random() < SAYS_WHITE and not exact)
    ground = " " + rng.choice(voice.grounds).format(colour=wish.background) if says_ground else ""
    sized = exact or rng.random() < SAYS_SIZE
    medium = rng.choice(words.MEDIA)
    return template.format(
        style=style,
        a_style=f"{article(style)} {style}",
        medium=medium,
        a_medium=f"{article(medium)} {medium}",
        ground=ground,
        what=what(wish, voice, rng, sized=sized),
        bare=bare(wish, voice, rng, sized=sized),
    )


def captions(wish: Wish, voice: Voice, seed: int, salt: object = "") -> Candidates:
    """Four or five different captions in their places, some short, some long, and now and then a useless one; the same for a seed."""
    rng = Random(order(seed, "captions", wish, salt))
    short = SHORT if wish.kind == COUNT or wish.relation else (*SHORT, *SHORTEST)
    found = dict[str, None]()
    for templates in (LONG, short, (*LONG, *MEDIUM), LONG, (*MEDIUM, *short)):
        text = sentence(rng.choice(templates), wish, voice, rng)
        while text in found:
            text = sentence(rng.choice(templates), wish, voice, rng)
        found[text] = None
    alt, title, *sentences = found
    figcaption, before, after = map(_whole, sentences)
    return _less_one(alt, {"title": title, "figcaption": figcaption, "before": before, "after": after}, rng)


def _less_one(alt: str, places: dict[str, str], rng: Random) -> Candidates:
    """The candidates, in one of two cases with a useless one, or none, in one place beside alt."""
    true = dict(places)
    if rng.random() < 0.5:
        place = rng.choice(list(places))
        del true[place]
        useless = rng.choice(("", rng.choice(BOILERPLATE).format(number=rng.randrange(1000, 9000), day=rng.randrange(10, 28))))
        places = places | {place: rng.choice(NEUTRAL) if place in ("before", "after") else useless}
    return Candidates(alt, **places, true=(alt, *true.values()))


def _whole(text: str) -> str:
    """As a sentence of a page: with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def prompt(wish: Wish, voice: Voice, seed: int, salt: object) -> str:
    """The scene as a person asks for it, in a sentence that no caption has."""
    rng = Random(order(seed, "prompt", wish, salt))
    return sentence(rng.choice(PROMPTS), wish, voice, rng, exact=True)

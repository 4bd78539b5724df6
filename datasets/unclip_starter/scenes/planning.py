"""Planning: which pictures the corpus is to hold, kind by kind, with nothing that is withheld in training ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from unclip_starter.concepts import TONES, order
from unclip_starter.scenes import scene
from unclip_starter.scenes.everyday import Everyday
from unclip_starter.scenes.scene import COUNT, FRONT, IN_FRONT, PAIR, PLAIN, SINGLE, STYLE, WHITE, Wish
from unclip_starter.scenes.withheld import COUNTS, Withheld

SHARES = {SINGLE: 0.63, PAIR: 0.16, COUNT: 0.125, FRONT: 0.085}
HELD_OUT_SHARES = {STYLE: 0.36, scene.BACKGROUND: 0.24, scene.TONE: 0.08, scene.RELATION: 0.16, COUNT: 0.16}
TRIES = 200
WHITE_SHARE = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Palette:
    """What wishes are made of: concepts, styles, the ids of those with skin tones, what is withheld, and the backgrounds on which a
    design, by (style, concept), can be seen."""

    concepts: Sequence[Everyday]
    styles: Sequence[str]
    tonable: Sequence[str]
    withheld: Withheld
    backgrounds: Mapping[tuple[str, str], Sequence[str]]
    seed: int

    def is_visible(self, wish: Wish) -> bool:
        """Whether each of its things stands out from the background."""
        return all(wish.background in self.backgrounds[wish.style, name] for name in wish.concepts)


@dataclass(frozen=True, kw_only=True)
class Theme:
    """What of a wish is settled; what is None is left to chance."""

    kind: str
    concept: str
    style: str | None = None
    background: str | None = None
    tone: str | None = None
    relation: str | None = None
    count: int | None = None


def plain_wishes(palette: Palette) -> Iterator[Wish]:
    """Every concept in every style, alone on white."""
    for number, one in enumerate(palette.concepts):
        for style in palette.styles:
            held = STYLE if (one.concept.id, style) in palette.withheld.combinations[STYLE] else None
            yield Wish(kind=PLAIN, concepts=(one.concept.id,), style=style, number=number, held_out=held)


def training_wishes(palette: Palette, count: int) -> Iterator[Wish]:
    """About `count` composed pictures, spread evenly over the designs; things with skin tones are alone in twice as many."""
    names = [one.concept.id for one in palette.concepts]
    for kind, share in SHARES.items():
        many = [*names, *palette.tonable] if kind == SINGLE else names
        designs = [(name, style) for name in many for style in palette.styles]
        designs = [design for design in designs if design not in palette.withheld.combinations[STYLE]]
        turns = sorted(enumerate(designs), key=lambda turn: order(palette.seed, *turn))
        for number in range(round(share * count)):
            name, style = turns[number % len(turns)][1]
            yield from wish_for(palette, Theme(kind=kind, concept=name, style=style), number, None)


def held_out_wishes(palette: Palette, count: int) -> Iterator[Wish]:
    """About `count` pictures that each show a withheld combination of one kind and none of another, spread evenly over the combinations."""
    for kind, share in HELD_OUT_SHARES.items():
        combinations = sorted(palette.withheld.combinations[kind], key=lambda combination: order(palette.seed, "held", *combination))
        for number in range(round(share * count) if combinations else 0):
            yield from wish_for(palette, theme_of(kind, *combinations[number % len(combinations)]), number, kind)


def theme_of(kind: str, concept: str, value: str) -> Theme:
    """The theme that shows this combination."""
    match kind:
        case scene.STYLE:
            return Theme(kind=SINGLE, concept=concept, style=value)
        case scene.BACKGROUND:
            return Theme(kind=SINGLE, concept=concept, background=value)
        case scene.TONE:
            return Theme(kind=SINGLE, concept=concept, tone=value)
        case scene.RELATION:
            return Theme(kind=FRONT if value == IN_FRONT else PAIR, concept=concept, relation=value)
        case _:
            return Theme(kind=COUNT, concept=concept, count=int(value))


def wish_for(palette: Palette, theme: Theme, number: int, held_out: str | None) -> list[Wish]:
    """One wish of the theme that can be seen and shows just the withheld kind; none when chance finds none."""
    rng = Random(order(palette.seed, "wish", theme, number, held_out))
    for _ in range(TRIES):
        wish = _drawn(palette, theme, number, rng)
        if palette.is_visible(wish) and palette.withheld.kinds(wish) == ({held_out} if held_out else set[str]()):
            return [replace(wish, held_out=held_out)]
    return []


def _drawn(palette: Palette, theme: Theme, number: int, rng: Random) -> Wish:
    """A wish at random, whether anybody may see it or not."""
    wish = Wish(
        kind=theme.kind,
        concepts=(theme.concept,),
        style=theme.style or rng.choice(list(palette.styles)),
        number=number,
        background=theme.background or (WHITE if rng.random() < WHITE_SHARE else rng.choice(list(scene.COLOURS)[1:])),
    )
    if theme.kind == SINGLE:
        tones = (None, *TONES) if theme.concept in palette.tonable else (None,)
        return replace(wish, tone=theme.tone or rng.choice(tones), size=rng.choice((scene.SMALL, None, scene.LARGE)))
    if theme.kind == COUNT:
        return replace(wish, concepts=wish.concepts * (theme.count or rng.choice(COUNTS)))
    second = rng.choice([one.concept.id for one in palette.concepts if one.concept.id != theme.concept])
    relation = IN_FRONT if theme.kind == FRONT else theme.relation or rng.choice((scene.BESIDE, scene.ABOVE))
    return replace(wish, concepts=(theme.concept, second), relation=relation)

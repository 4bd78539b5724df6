"""Withheld combinations: which ones no training picture shows, so that painting them shows what was understood."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unclip_starter.concepts import TONES, order
from unclip_starter.scenes.everyday import Everyday
from unclip_starter.scenes.scene import ABOVE, BACKGROUND, BESIDE, COLOURS, COUNT, IN_FRONT, RELATION, STYLE, TONE, WHITE, Wish

COUNTS = (2, 3, 4)
BACKGROUND_SHARE, RELATION_SHARE, COUNT_SHARE = 0.12, 0.10, 0.10
Combination = tuple[str, str]


@dataclass(frozen=True)
class Withheld:
    """By kind, the withheld pairs of a concept's id and a style, background, tone, relation (of the first thing) or number."""

    combinations: Mapping[str, frozenset[Combination]]

    def kinds(self, wish: Wish) -> set[str]:
        """The kinds of which the wish shows a withheld combination; empty for what training may see."""
        return {kind for kind, combination in shown(wish) if combination in self.combinations[kind]}


def shown(wish: Wish) -> Iterable[tuple[str, Combination]]:
    """Every combination that the picture would show, with its kind."""
    for concept in set(wish.concepts):
        yield STYLE, (concept, wish.style)
        yield BACKGROUND, (concept, wish.background)
    if wish.tone:
        yield TONE, (wish.concepts[0], wish.tone)
    if wish.relation:
        yield RELATION, (wish.concepts[0], wish.relation)
    if wish.kind == COUNT:
        yield COUNT, (wish.concepts[0], str(len(wish.concepts)))


def withhold(concepts: Sequence[Everyday], styles: Sequence[str], tonable: Sequence[str], seed: int) -> Withheld:
    """Half of the concepts lose one style, each style in its turn; each tonable concept one tone; and a tenth or so of the rest."""
    names = sorted((one.concept.id for one in concepts), key=lambda name: order(seed, "withheld", name))
    half = names[: len(names) // 2]

    def some(kind: str, values: Sequence[str], share: float) -> frozenset[Combination]:
        every = sorted(itertools.product(names, values), key=lambda combination: order(seed, kind, *combination))
        return frozenset(every[: max(1, round(share * len(every)))])

    return Withheld(
        {
            STYLE: frozenset((name, styles[number % len(styles)]) for number, name in enumerate(half)),
            BACKGROUND: some(BACKGROUND, [colour for colour in COLOURS if colour != WHITE], BACKGROUND_SHARE),
            TONE: frozenset((name, TONES[(number * 2 + 1) % len(TONES)]) for number, name in enumerate(tonable)),
            RELATION: some(RELATION, (BESIDE, ABOVE, IN_FRONT), RELATION_SHARE),
            COUNT: some(COUNT, [str(number) for number in COUNTS], COUNT_SHARE),
        }
    )

"""Placing: where the things of a scene go, drawn from a random number generator, with their exact boxes."""

from collections.abc import Sequence
from random import Random

from unclip_starter.scenes.scene import ABOVE, COUNT, FRONT, LARGE, SINGLE, SMALL, Box

MARGIN = 0.03
SIDES = {SMALL: (0.36, 0.46), None: (0.62, 0.74), LARGE: (0.84, 0.94)}
DRIFT = 0.08  # how far a thing that stands alone may lie from the middle
# by number, ways to lay out as many things: their centres and the longest side of each
LAYOUTS: dict[int, tuple[tuple[float, tuple[tuple[float, float], ...]], ...]] = {
    2: (
        (0.42, ((0.27, 0.5), (0.73, 0.5))),
        (0.42, ((0.5, 0.27), (0.5, 0.73))),
        (0.42, ((0.29, 0.29), (0.71, 0.71))),
        (0.42, ((0.71, 0.29), (0.29, 0.71))),
    ),
    3: (
        (0.40, ((0.5, 0.27), (0.27, 0.73), (0.73, 0.73))),
        (0.40, ((0.27, 0.27), (0.73, 0.27), (0.5, 0.73))),
        (0.28, ((0.19, 0.5), (0.5, 0.5), (0.81, 0.5))),
        (0.28, ((0.5, 0.19), (0.5, 0.5), (0.5, 0.81))),
        (0.29, ((0.2, 0.2), (0.5, 0.5), (0.8, 0.8))),
    ),
    4: (
        (0.39, ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))),
        (0.31, ((0.5, 0.2), (0.2, 0.5), (0.8, 0.5), (0.5, 0.8))),
    ),
}


def sized(side: float, aspect: float) -> tuple[float, float]:
    """Width and height of a thing whose longer side is `side`; `aspect` is width over height."""
    return (side, side / aspect) if aspect >= 1 else (side * aspect, side)


def centred(x: float, y: float, side: float, aspect: float) -> Box:
    """The box around a centre, moved so that it lies within the margins."""
    width, height = sized(side, aspect)
    left = min(max(x - width / 2, MARGIN), 1 - MARGIN - width)
    top = min(max(y - height / 2, MARGIN), 1 - MARGIN - height)
    return left, top, left + width, top + height


def places(kind: str, relation: str | None, size: str | None, aspects: Sequence[float], rng: Random) -> list[Box]:
    """A box for each thing, in their order; `aspects` are width over height of their visible parts."""
    if kind == SINGLE:
        return [_single(size, aspects[0], rng)]
    if kind == COUNT:
        return _counted(aspects, rng)
    if kind == FRONT:
        return _in_front(aspects, rng)
    return _beside_or_above(relation, aspects, rng)


def _single(size: str | None, aspect: float, rng: Random) -> Box:
    return centred(0.5 + rng.uniform(-DRIFT, DRIFT), 0.5 + rng.uniform(-DRIFT, DRIFT), rng.uniform(*SIDES[size]), aspect)


def _beside_or_above(relation: str | None, aspects: Sequence[float], rng: Random) -> list[Box]:
    """Two things on either half; the first is the left or the upper one."""
    along = [0.26 + rng.uniform(-0.015, 0.015), 0.74 + rng.uniform(-0.015, 0.015)]
    across, found = rng.uniform(0.3, 0.7), list[Box]()
    for place, aspect in zip(along, aspects, strict=True):
        side, beside = rng.uniform(0.36, 0.45), across + rng.uniform(-0.06, 0.06)
        found.append(centred(beside, place, side, aspect) if relation == ABOVE else centred(place, beside, side, aspect))
    return found


def _counted(aspects: Sequence[float], rng: Random) -> list[Box]:
    """As many things of nearly one size, none touching another."""
    longest, layout = rng.choice(LAYOUTS[len(aspects)])
    side, found = longest * rng.uniform(0.86, 1), list[Box]()
    shift = rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
    for (x, y), aspect in zip(layout, aspects, strict=True):
        jitter = rng.uniform(-0.015, 0.015), rng.uniform(-0.015, 0.015)
        found.append(centred(x + shift[0] + jitter[0], y + shift[1] + jitter[1], side, aspect))
    return found


def _in_front(aspects: Sequence[float], rng: Random) -> list[Box]:
    """The first thing lower and to one side, over a corner of the second, larger one."""
    towards = rng.choice((-1, 1))
    back = centred(0.5 - towards * rng.uniform(0.1, 0.16), rng.uniform(0.36, 0.44), rng.uniform(0.6, 0.7), aspects[1])
    corner = back[2] if towards > 0 else back[0]
    x = corner - towards * rng.uniform(0.0, 0.07)
    return [centred(x, back[3] - rng.uniform(0.02, 0.1), rng.uniform(0.38, 0.46), aspects[0]), back]

"""Setting: a wish with its things put into places, mirrored or not."""

from collections.abc import Mapping, Sequence
from random import Random

from unclip_starter.concepts import order
from unclip_starter.scenes.composing import Design
from unclip_starter.scenes.placing import places
from unclip_starter.scenes.scene import COUNT, Box, Scene, Thing, Wish


def placed(wish: Wish, designs: Sequence[Design], labels: Mapping[str, str], seed: int, attempt: int) -> Scene:
    """The attempt-th placement of the wish, always the same; `designs` are those of its things."""
    rng = Random(order(seed, "placed", wish, attempt))
    boxes = places(wish.kind, wish.relation, wish.size, [design.aspect for design in designs], rng)
    mirrored = [rng.random() < 0.5 for _ in boxes]
    return _scene(wish, labels, boxes, mirrored[:1] * len(boxes) if wish.kind == COUNT else mirrored)


def plain_scene(wish: Wish, design: Design, labels: Mapping[str, str]) -> Scene:
    """The design as it is, which fills the picture as its maker meant it."""
    return _scene(wish, labels, [design.box], [False])


def unplaced(wish: Wish, labels: Mapping[str, str]) -> Scene:
    """The scene of a wish whose things have no places; its boxes mean nothing."""
    return _scene(wish, labels, [(0.0, 0.0, 1.0, 1.0)] * len(wish.concepts), [False] * len(wish.concepts))


def _scene(wish: Wish, labels: Mapping[str, str], boxes: Sequence[Box], mirrored: Sequence[bool]) -> Scene:
    things = [
        Thing(concept=name, label=labels[name], tone=wish.tone, box=box, mirrored=turned)
        for name, box, turned in zip(wish.concepts, boxes, mirrored, strict=True)
    ]
    return Scene(kind=wish.kind, background=wish.background, things=tuple(things), relation=wish.relation, size=wish.size)

"""Scene: what a picture shows, thing by thing, as the ground truth and the prompts say it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeGuard

from unclip_pairs.errors import UserError

PLAIN, SINGLE, PAIR, COUNT, FRONT = KINDS = ("plain", "single", "pair", "count", "front")
BESIDE, ABOVE = "beside", "above"
RELATIONS = (BESIDE, ABOVE, "in front of")
SIZES = ("small", "large")
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Thing:
    """One thing of a scene; `tone` is the name of its skin tone, where it has one."""

    concept: str
    tone: str | None = None


@dataclass(frozen=True)
class Scene:
    """The things before a background: `things[0]` is the left, upper or front one; a plain scene is one thing, centred, on white."""

    kind: str
    background: str
    background_rgb: RGB
    things: tuple[Thing, ...]
    relation: str | None = None
    size: str | None = None

    @property
    def is_single(self) -> bool:
        """Whether one thing is all that is in it."""
        return self.kind in (PLAIN, SINGLE)

    @property
    def mirrored(self) -> "Scene":
        """The same with the things the other way round."""
        return replace(self, things=self.things[::-1])


def read_scene(value: object, where: str) -> Scene:
    """The scene of a decoded JSON object; `UserError` begins with `where` and names the field that is wrong."""
    fields = _object(value, where, "scene")
    things = fields.get("things")
    if not isinstance(things, list) or not things:
        raise UserError(f"{where}: scene.things is {things!r}; give at least one thing")
    return Scene(
        kind=_one_of(fields.get("kind"), KINDS, f"{where}: scene.kind"),
        background=_text(fields.get("background"), f"{where}: scene.background"),
        background_rgb=_rgb(fields.get("background_rgb"), where),
        things=tuple(_thing(thing, where) for thing in things),  # pyright: ignore[reportUnknownVariableType] (decoded JSON)
        relation=_maybe(fields.get("relation"), RELATIONS, f"{where}: scene.relation"),
        size=_maybe(fields.get("size"), SIZES, f"{where}: scene.size"),
    )


def parse_scene(text: str | None, where: str) -> Scene | None:
    """The scene of a cell of the ground truth (JSON or null); `UserError` as in `read_scene`."""
    if text is None:
        return None
    try:
        return read_scene(json.loads(text), where)
    except ValueError as error:
        raise UserError(f"{where}: scene is not valid JSON ({error}); publish the dataset again") from error


def _thing(value: object, where: str) -> Thing:
    fields = _object(value, where, "scene.things")
    tone = fields.get("tone")
    return Thing(
        _text(fields.get("concept"), f"{where}: scene.things.concept"), None if tone is None else _text(tone, f"{where}: scene.things.tone")
    )


def _object(value: object, where: str, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: {name} is {value!r}; give a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType] (decoded JSON has strings as keys)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{field} is {value!r}; give a text")
    return value


def _one_of(value: object, known: tuple[str, ...], field: str) -> str:
    if value not in known:
        raise UserError(f"{field} is {value!r}; choose one of {', '.join(known)}")
    return str(value)


def _maybe(value: object, known: tuple[str, ...], field: str) -> str | None:
    return None if value is None else _one_of(value, known, field)


def _is_rgb(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _rgb(value: object, where: str) -> RGB:
    if not _is_rgb(value):
        raise UserError(f"{where}: scene.background_rgb is {value!r}; give three whole numbers from 0 to 255")
    return value[0], value[1], value[2]

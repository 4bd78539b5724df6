"""Everyday things: the concepts that the corpus holds first, and what they are called in captions and in prompts."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from unclip_starter.concepts import Concept
from unclip_starter.scenes.words import head_and_rest

TABLE = Path(__file__).with_name("everyday.json")
IRREGULAR = {"fish": "fish", "infant": "infants", "baby": "babies"}


class Row(TypedDict):
    """An entry of everyday.json: `names` stand in captions, `own` in prompts only; `plural` is written where rules do not give it."""

    id: str
    names: list[str]
    own: list[str]
    plural: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Everyday:
    """A concept with its names: those of captions, the commonest first, and those that no caption has (none outside the table)."""

    concept: Concept
    names: tuple[str, ...]
    own: tuple[str, ...] = ()
    plural: str


def plural_of(name: str) -> str:
    """Several of them: dogs, slices of pizza, butterflies with open wings."""
    head, rest = head_and_rest(name)
    *front, last = head.split(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith(("s", "sh", "ch", "x")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*front, last]) + rest


def read_table() -> list[Row]:
    """The rows of everyday.json, in the order in which concepts are taken."""
    return json.loads(TABLE.read_text("utf-8"))


def everyday(known: Sequence[Concept], available: Set[str], wanted: int) -> list[Everyday]:
    """The first `wanted` concepts of the table; fewer when it is shorter or a style does not draw one."""
    by_id: Mapping[str, Concept] = {concept.id: concept for concept in known}
    rows = [row for row in read_table() if row["id"] in available and row["id"] in by_id]
    return [_named(by_id[row["id"]], row) for row in rows[:wanted]]


def _named(concept: Concept, row: Row) -> Everyday:
    names = tuple(row["names"])
    return Everyday(concept=concept, names=names, own=tuple(row["own"]), plural=row.get("plural", plural_of(names[0])))


def unlisted(concept: Concept) -> Everyday:
    """A concept outside the table, under its label alone."""
    return Everyday(concept=concept, names=(concept.label,), plural=plural_of(concept.label))

"""Concepts of the starter corpus: what is drawn, in which order they are tried, and with which attributes."""

import hashlib
import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from unclip_pairs.store import Store
from unclip_starter.packages import EMOJIBASE, code_point, members

LANGUAGES = ("fr", "de", "es", "it", "ru", "pt", "pl", "nl")
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
GROUPS = {
    0: "faces",
    1: "people",
    3: "animals and nature",
    4: "food and drink",
    5: "travel and places",
    6: "activities",
    7: "objects",
    8: "symbols",
}
# letters, arrows and plain shapes say little, and families differ by a face in four
LEFT_OUT = {"alphanum", "geometric", "arrow", "av-symbol", "math", "punctuation", "keycap", "family", "gender", "time"}
KEPT_OF_TIME = ("hourglass", "watch", "clock", "timer")
LAST = {"symbols": 2, "faces": 1}  # the others come first: they are more concrete and look less alike
MAX_WORDS = 4


@dataclass(frozen=True)
class Concept:
    """A thing that every style draws. `id` is its code point without skin tone; `tones` maps a tone to the code point drawn with it."""

    id: str
    label: str
    group: str
    gender: str | None
    tones: tuple[tuple[str, str], ...]

    @property
    def family(self) -> str:
        """The same for a man's, a woman's and a person's version of one role, of which only one becomes a concept."""
        parts = ["1f9d1" if part in ("1f468", "1f469") else part for part in self.id.split("-")]
        return "-".join(parts).replace("-200d-2642", "").replace("-200d-2640", "")

    def attributes(self, tone: str | None = None) -> dict[str, str]:
        """What is known about the picture beside its concept and style."""
        known = {"group": self.group, "gender": self.gender, "tone": tone}
        return {name: value for name, value in known.items() if value is not None}


class Skin(TypedDict):
    """A version of an entry in skin tones: one, or several in a group."""

    hexcode: str
    tone: NotRequired[int | list[int]]


class Entry(TypedDict):
    """What is used of an entry of emojibase-data."""

    hexcode: str
    label: str
    group: NotRequired[int]
    subgroup: NotRequired[int]
    gender: NotRequired[int]
    skins: NotRequired[list[Skin]]


@dataclass(frozen=True)
class Names:
    """What emojibase knows: the concepts in English, and the labels of other languages by code point."""

    concepts: tuple[Concept, ...]
    foreign: dict[str, dict[str, str]]


def read_names(store: Store) -> Names:
    """All usable concepts with their labels, from the packed emojibase-data."""
    wanted = {"en/data.json", "en/messages.json", *(f"{language}/compact.json" for language in LANGUAGES)}
    files = {name: json.loads(data) for name, data in members(store, EMOJIBASE, wanted.__contains__).items()}
    subgroups = {entry["order"]: entry["key"] for entry in files["en/messages.json"]["subgroups"]}
    concepts = [_concept(entry) for entry in files["en/data.json"] if _is_usable(entry, subgroups)]
    foreign = {language: _labels(files[f"{language}/compact.json"]) for language in LANGUAGES}
    return Names(tuple(concepts), foreign)


def _labels(entries: list[Entry]) -> dict[str, str]:
    return {code_point(entry["hexcode"]): entry["label"] for entry in entries if entry.get("label")}


def _is_usable(entry: Entry, subgroups: dict[int, str]) -> bool:
    """Whether it belongs to a group we draw and its label is short and plain."""
    if entry.get("group") not in GROUPS:
        return False
    label, subgroup = entry["label"], subgroups[entry.get("subgroup", -1)]
    if subgroup in LEFT_OUT and not (subgroup == "time" and label.startswith(KEPT_OF_TIME)):
        return False
    # "facing right" is the exact mirror of another concept
    return not (set(label) & set(':(“"!') or "facing right" in label or len(label.split()) > MAX_WORDS)


def _concept(entry: Entry) -> Concept:
    tones = [(TONES[tone - 1], code_point(skin["hexcode"])) for skin in entry.get("skins", ()) if isinstance(tone := skin.get("tone"), int)]
    gender = {0: "woman", 1: "man"}.get(entry.get("gender", -1))
    return Concept(code_point(entry["hexcode"]), entry["label"].replace("’", "'"), GROUPS[entry.get("group", -1)], gender, tuple(tones))


def order(seed: int, *names: object) -> str:
    """A key to shuffle by that depends on nothing but its arguments."""
    return hashlib.sha256("|".join(map(str, (seed, *names))).encode()).hexdigest()


def in_order(concepts: Iterable[Concept], available: Set[str], seed: int) -> list[Concept]:
    """The concepts all styles draw, one of each family, in the order they are tried."""
    drawn = [concept for concept in concepts if concept.id in available]
    drawn.sort(key=lambda concept: (LAST.get(concept.group, 0), order(seed, concept.id)))
    first = dict[str, Concept]()
    for concept in drawn:
        first.setdefault(concept.family, concept)
    return list(first.values())

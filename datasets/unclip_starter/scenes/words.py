"""Words of captions and prompts: styles, media, grounds, relations; those of prompts stand in no caption."""

from collections.abc import Mapping, Sequence

from unclip_starter.captions import article
from unclip_starter.scenes.scene import ABOVE, BESIDE, IN_FRONT

LINKS = (" of ", " with ", " that ", " for ", " in ", " from ")

NUMBERS = {2: "two", 3: "three", 4: "four"}
MEDIA = ("picture", "illustration", "drawing", "icon", "image")
TONES_SAID = ("{name} with {tone} skin tone", "{name} with {tone} skin", "{name} in a {tone} skin tone")
GROUNDS = ("on a {colour} background", "with a {colour} background", "on {colour}", "on a plain {colour} background")
SIZES_SAID: Mapping[str, Sequence[str]] = {"small": ("small", "little"), "large": ("large", "big")}
RELATIONS: Mapping[str, Sequence[str]] = {
    BESIDE: (
        "{a} beside {b}",
        "{a} to the left of {b}",
        "{b} to the right of {a}",
        "{a} on the left and {b} on the right",
        "{a} next to {b}",
    ),
    ABOVE: ("{a} above {b}", "{b} below {a}", "{a} at the top and {b} at the bottom", "{a} over {b}", "{b} under {a}"),
    IN_FRONT: ("{a} in front of {b}", "{b} behind {a}", "{a} that partly covers {b}", "{b} partly hidden by {a}"),
}
OWN_STYLES: Mapping[str, Sequence[str]] = {
    "noto": ("cartoony", "comic-like"),
    "fluent-flat": ("vector-style", "flat-colour", "two-dimensional"),
    "fluent-3d": ("3d-look", "plastic 3d", "computer-rendered"),
    "twemoji": ("sticker-style", "decal-like"),
    "openmoji": ("outline-style", "ink-lined", "contour"),
}
OWN_TONES = ("{name} that has {tone} skin",)
OWN_GROUNDS = ("against a {colour} background", "with a {colour} backdrop", "with {colour} all around")
OWN_RELATIONS: Mapping[str, Sequence[str]] = {
    BESIDE: ("{a} standing left of {b}", "{a} with {b} on its right side"),
    ABOVE: ("{a} placed higher than {b}", "{a} with {b} underneath it"),
    IN_FRONT: ("{a} standing before {b}", "{a} with {b} half visible at its back"),
}


def head_and_rest(name: str) -> tuple[str, str]:
    """A name before and from its first link on: "slice", " of pizza"."""
    first = min((place for link in LINKS if (place := name.find(link)) >= 0), default=len(name))
    return name[:first], name[first:]


def with_article(name: str) -> str:
    """The name with its article, where it takes one: an apple, a pair of glasses, scissors."""
    last = head_and_rest(name)[0].split(" ")[-1]
    if last.endswith("s") and not last.endswith(("ss", "us", "is", "'s")):
        return name
    return f"{article(name)} {name}"

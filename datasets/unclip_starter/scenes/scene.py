"""Scene: what a picture shows and where, as the ground truth holds it."""

from dataclasses import dataclass

from unclip_pairs.json_value import JsonObject

PLAIN, SINGLE, PAIR, COUNT, FRONT = "plain", "single", "pair", "count", "front"
BESIDE, ABOVE, IN_FRONT = "beside", "above", "in front of"
SMALL, LARGE = "small", "large"
WHITE = "white"
COLOURS = {
    WHITE: (255, 255, 255),
    "red": (222, 84, 84),
    "yellow": (252, 218, 100),
    "green": (130, 200, 110),
    "teal": (60, 160, 156),
    "blue": (96, 150, 236),
    "purple": (152, 110, 208),
    "pink": (250, 178, 208),
    "grey": (158, 162, 168),
}
Box = tuple[float, float, float, float]
RELATION, BACKGROUND, STYLE, TONE = "relation", "background", "style", "tone"
KINDS_HELD_OUT = (STYLE, BACKGROUND, TONE, RELATION, COUNT)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a picture is to show, before anything has a place. `concepts` are ids, the left, upper or front one first; a counted one is
    repeated. `held_out` is the kind of its combination that is kept from training, None for a training picture."""

    kind: str
    concepts: tuple[str, ...]
    style: str
    number: int
    background: str = WHITE
    tone: str | None = None
    relation: str | None = None
    size: str | None = None
    held_out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing of a scene; `box` is its visible part: left, top, right, bottom as fractions of the side."""

    concept: str
    label: str
    tone: str | None
    box: Box
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A wish with its things in their places."""

    kind: str
    background: str
    things: tuple[Thing, ...]
    relation: str | None
    size: str | None

    def as_json(self, *, boxes: bool = True) -> JsonObject:
        """The scene as truth.parquet holds it; without boxes as prompts.json does."""
        things: list[dict[str, str | bool | list[float] | None]] = []
        for one in self.things:
            things.append({"concept": one.concept, "label": one.label, "tone": one.tone, "mirrored": one.mirrored})
            if boxes:
                things[-1]["box"] = [round(side, 4) for side in one.box]
        return {
            "kind": self.kind,
            "background": self.background,
            "background_rgb": list(COLOURS[self.background]),
            "things": things,
            "relation": self.relation,
            "size": self.size,
        }

"""Prompt: a text to paint, and the label of the picture that is asked for."""

from dataclasses import dataclass

from unclip_evaluation.prompts.scene import Scene


@dataclass(frozen=True)
class Label:
    """What a picture shows; `scene` where its geometry is known."""

    concept: str
    style: str
    scene: Scene | None = None

    @property
    def concepts(self) -> frozenset[str]:
        """The concepts of all its things."""
        return frozenset({self.concept} | {thing.concept for thing in self.scene.things} if self.scene else {self.concept})

    @property
    def is_single(self) -> bool:
        """Whether it shows one thing; a picture without a scene does."""
        return self.scene is None or self.scene.is_single


@dataclass(frozen=True)
class Prompt:
    """A text to paint and what its picture should show; `seen` says whether training has this, `key` is the pair it was taken from."""

    text: str
    label: Label
    seen: bool = True
    key: str | None = None

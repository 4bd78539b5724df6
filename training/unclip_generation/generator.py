"""Generator: what paints pictures, whoever trained its networks. Our bundles and imported models answer to it alike."""

from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image

from unclip_generation.bundle import Guidance

GenerationProgress = Callable[[str, float], None]
"""(name of the stage, fraction of the whole call that is done)"""

MAX_SIDE = 1024


class Generator(Protocol):
    """Paints from captions and from pictures: one RGB picture for each seed, the same for the same seed, alone or among others.

    Both methods raise `UserError` when the seeds are not as many as the prompts or pictures, or `size` is not between 1 and `MAX_SIDE`.
    """

    @property
    def guidance(self) -> Guidance:
        """The scales that are used when a call names none."""
        ...

    @property
    def can_vary(self) -> bool:
        """Whether it has what reads a picture; else `variations` raises `UserError`."""
        ...

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One RGB picture of `size` square for each prompt."""
        ...

    def variations(
        self,
        images: Sequence[Image.Image],
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        captions: Sequence[str] | None = None,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One other RGB picture of `size` square for each picture; captions, where given, go to a decoder that reads text beside it."""
        ...

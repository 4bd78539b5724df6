"""Painting for the evaluation: fixed prompts and seeds, every block kept, so that a killed evaluation goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_generation.bundle import Guidance
from unclip_generation.generator import Generator
from unclip_pairs.images import to_array
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import read_array, write_array
from unclip_training.judging.mobilenet import SIDE

BLOCK = 32


@dataclass(frozen=True)
class EvaluationPainter:
    """Paints with `generator` and keeps the pictures in `folder`; `progress` gets how many of how many are painted."""

    store: Store
    folder: str
    generator: Generator
    seed: int
    progress: Progress

    def painted(self, name: str, captions: Sequence[str], guidance: Guidance | None) -> NDArray[np.uint8]:
        """uint8 [N, 128, 128, 3]: a picture for each caption, the i-th with the i-th fixed seed."""

        def paint(start: int, stop: int) -> list[Image.Image]:
            return self.generator.generate(captions[start:stop], self._seeds(start, stop), SIDE, guidance)

        return self._blocks(name, len(captions), paint)

    def reconstructed(self, name: str, pictures: NDArray[np.uint8], captions: Sequence[str]) -> NDArray[np.uint8]:
        """uint8 [N, 128, 128, 3]: each picture through CLIP's image embedding and the decoder; none, [0, ...], where
        the generator reads no pictures."""
        if not self.generator.can_vary:
            return np.zeros((0, SIDE, SIDE, 3), np.uint8)

        def paint(start: int, stop: int) -> list[Image.Image]:
            images = [Image.fromarray(picture) for picture in pictures[start:stop]]
            return self.generator.variations(images, self._seeds(start, stop), SIDE, captions=captions[start:stop])

        return self._blocks(name, len(pictures), paint)

    def _seeds(self, start: int, stop: int) -> list[int]:
        return [self.seed * 100_000 + place for place in range(start, stop)]

    def _blocks(self, name: str, count: int, paint: Callable[[int, int], list[Image.Image]]) -> NDArray[np.uint8]:
        """Paints what is missing, block by block."""
        parts: list[NDArray[np.uint8]] = []
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            file = f"{self.folder}/painted/{name}-{start:05d}-{stop - start}.npy"
            if not self.store.exists(file):
                write_array(self.store, file, np.stack([to_array(image) for image in paint(start, stop)]))
            parts.append(np.asarray(read_array(self.store.path(file))))
            self.progress(stop, count, f"painting {name}")
        return np.concatenate(parts) if parts else np.zeros((0, SIDE, SIDE, 3), np.uint8)

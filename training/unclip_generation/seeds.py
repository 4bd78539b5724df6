"""Where the noise comes from: one generator per picture and stage, so that no picture depends on its neighbours in a batch.

Noise is always drawn on the CPU, in float32: the same seed starts from the same noise on every device.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


class PictureNoise:
    """`noise(x)` draws like x, row i from the generator of seed i. Calls continue the rows' own streams."""

    def __init__(self, seeds: Sequence[int], stage: str) -> None:
        self.generators = [torch.Generator().manual_seed(stage_seed(seed, stage)) for seed in seeds]

    def __call__(self, x: Tensor) -> Tensor:
        assert len(x) == len(self.generators), "one generator per row"
        return torch.stack([torch.randn(x.shape[1:], generator=g) for g in self.generators]).to(x)

    def draw(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Noise [len(seeds), *shape]."""
        return self(torch.empty(len(self.generators), *shape)).to(device)


def stage_seed(seed: int, stage: str) -> int:
    """A 63-bit seed for this stage of this picture; stages do not share a stream, so more of one leaves the others alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}".encode()).digest()[:8]) >> 1

"""Noise over time: alpha_bar(t) for t in [0, 1], the times to train at and the times to sample at.

Time is continuous; the papers' step i of 1000 is t = i / 1000. alpha_bar falls from 1 (the picture) to nearly 0 (noise).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unclip_pairs.errors import UserError

MIN_ALPHA_BAR = 1e-8
NUM_TRAIN_STEPS = 1000


def cosine_alpha_bar(t: Tensor) -> Tensor:
    """Nichol & Dhariwal (2021), eq. 17, with s = 0.008."""
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    return (torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 / start).clamp(MIN_ALPHA_BAR, 1.0)


def linear_alpha_bar(t: Tensor) -> Tensor:
    """Ho et al. (2020): beta from 1e-4 to 0.02 in 1000 steps, in the limit of many steps (Song et al., 2021b, eq. 33)."""
    return torch.exp(-0.1 * t - (20.0 - 0.1) / 2 * t**2)


@dataclass(frozen=True)
class NoiseSchedule:
    """`alpha_bar(t)` elementwise, at the precision of t."""

    name: str
    alpha_bar: Callable[[Tensor], Tensor]

    def q_sample(self, x_0: Tensor, t_B: Tensor, noise: Tensor) -> Tensor:
        """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise (Ho et al., 2020, eq. 4)."""
        alpha_bar = self.like(t_B, x_0)
        return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise

    def like(self, t_B: Tensor, x: Tensor) -> Tensor:
        """alpha_bar(t) shaped [B, 1, ...] so that it multiplies x [B, ...]."""
        return self.alpha_bar(t_B).view(-1, *[1] * (x.dim() - 1))


COSINE = NoiseSchedule("cosine", cosine_alpha_bar)
LINEAR = NoiseSchedule("linear", linear_alpha_bar)


def schedule_named(name: str) -> NoiseSchedule:
    """The schedule of that name. `UserError` when there is none."""
    for schedule in (COSINE, LINEAR):
        if schedule.name == name:
            return schedule
    raise UserError(f"schedule is {name!r}, but it must be cosine or linear.")


def sampling_times(steps: Sequence[int]) -> Tensor:
    """Times [N + 1], float64, falling from 1 to 0, N = sum(steps).

    One count spaces them evenly. Several split [0, 1] into as many equal segments, the first next to the picture:
    (10, 10, 3, 2, 2) is GLIDE's 27-step schedule (Nichol et al., 2021, appendix B.2).
    """
    if not steps or min(steps) < 1:
        raise UserError(f"steps is {tuple(steps)}, but every count must be at least 1.")
    width, rising = 1.0 / len(steps), [torch.zeros(1, dtype=torch.float64)]
    for segment, count in enumerate(steps):
        rising.append(width * (segment + torch.arange(1, count + 1, dtype=torch.float64) / count))
    return torch.cat(rising).flip(0)


def uniform_times(batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Training times [B] in (0, 1], one in each of B equal parts, which lowers the variance of the loss (Kingma et al., 2021)."""
    offset = torch.rand(1, generator=generator)
    times = (torch.randperm(batch, generator=generator) + offset) / batch
    return times.clamp(1 / NUM_TRAIN_STEPS, 1.0)


def step_times(batch: int, generator: torch.Generator | None = None) -> Tensor:
    """Training times [B] on the grid of the papers' 1000 steps."""
    return torch.randint(1, NUM_TRAIN_STEPS + 1, (batch,), generator=generator) / NUM_TRAIN_STEPS


def logit_normal_times(batch: int, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Training times [B] that crowd in the middle (Esser et al., 2024, eq. 19)."""
    return torch.sigmoid(mean + std * torch.randn(batch, generator=generator)).clamp(1 / NUM_TRAIN_STEPS, 1.0)

"""Classifier-free guidance (Ho & Salimans, 2021): it takes a model and gives a model."""

from collections.abc import Callable

import torch
from torch import Tensor

from unclip_diffusion.predictions import Denoiser

Conditional = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t, t_B, keep_B) -> prediction; where keep_B is false the conditioning is the learned null."""


def guided(model: Conditional, scale: float) -> Denoiser:
    """without + scale * (with - without). At scale 1 the model runs once, otherwise on a doubled batch: first kept, then dropped."""

    def plain(x: Tensor, t_B: Tensor) -> Tensor:
        return model(x, t_B, torch.ones_like(t_B, dtype=torch.bool))

    def both(x: Tensor, t_B: Tensor) -> Tensor:
        keep_B = torch.ones_like(t_B, dtype=torch.bool)
        output = model(torch.cat([x, x]), torch.cat([t_B, t_B]), torch.cat([keep_B, ~keep_B]))
        with_condition, without = output.chunk(2)
        return without + scale * (with_condition - without)

    return plain if scale == 1.0 else both


def guided_noise_only(model: Conditional, scale: float, channels: int = 3) -> Denoiser:
    """Guidance for a network with learned variance: the first `channels` are guided, the variance is that of the kept half (GLIDE)."""

    def apart(x: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
        output = model(x, t_B, keep_B)
        if scale == 1.0:
            return output
        half = len(output) // 2
        return torch.cat([output[:, :channels], output[:half, channels:].repeat(2, 1, 1, 1)], dim=1)

    return guided(apart, scale)

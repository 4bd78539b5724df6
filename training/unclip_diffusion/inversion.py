"""DDIM inversion: from a picture back to the noise that the same model turns into it (Ramesh et al., 2022, section 3)."""

import torch
from torch import Tensor

from unclip_diffusion.predictions import Denoiser, to_eps
from unclip_diffusion.schedule import NoiseSchedule


@torch.no_grad()
def invert_ddim(denoise: Denoiser, x_0: Tensor, schedule: NoiseSchedule, times: Tensor, rounds: int = 3) -> Tensor:
    """x_T such that `sample_ddim(denoise, x_T, schedule, times)` is close to x_0; `times` fall from 1 to 0 as there.

    Each step solves DDIM's own equation for the noisier x by `rounds` of fixed-point iteration, so the way back is followed closely.
    """
    rising = times.flip(0)
    alpha_bars = schedule.alpha_bar(rising.double()).to(device=x_0.device, dtype=torch.float32)
    x = x_0
    for i in range(len(rising) - 1):
        t_B = torch.full((len(x),), float(rising[i + 1]), device=x.device)
        x = _noisier(denoise, x, t_B, alpha_bars[i], alpha_bars[i + 1], rounds)
    return x


def _noisier(denoise: Denoiser, x: Tensor, t_B: Tensor, alpha_bar: Tensor, alpha_bar_noisier: Tensor, rounds: int) -> Tensor:
    """The y at t_B from which one DDIM step leads to x. A picture says nothing of the noise, so there the model's is taken."""
    y, is_picture = x, bool(alpha_bar > 1 - 1e-6)
    for _ in range(rounds):
        guess = denoise(y, t_B)
        clean = x if is_picture else guess
        eps = to_eps(y, guess, alpha_bar_noisier) if is_picture else to_eps(x, guess, alpha_bar)
        y = alpha_bar_noisier.sqrt() * clean + (1 - alpha_bar_noisier).sqrt() * eps
    return y

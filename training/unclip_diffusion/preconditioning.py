"""Preconditioning around a guess: what a network sees and what its output is added to, so that both are of size one.

With x_t = a x_0 + s noise, a guess g of x_0 whose errors have deviation d, and D = a^2 d^2 + s^2, the best linear estimate of x_0 is
(s^2 g + a d^2 x_t) / D, and its own error has deviation d s / sqrt(D). Karras et al. (2022), section 5, is the case g = 0.
"""

from typing import assert_never

import torch
from torch import Tensor

from unclip_diffusion.config import Prediction
from unclip_diffusion.schedule import NoiseSchedule

LEAST_DEVIATION = 1e-3  # of x_t around the guess: a perfect guess must not divide by zero


def shares_around(prediction: Prediction, schedule: NoiseSchedule, deviation: float, t_K: Tensor) -> Tensor:
    """[5, K] at times t: the shares of x_t and g in what is seen, (x_t - a g) / sqrt(D), and of x_t, g and the network in the output."""
    power = schedule.alpha_bar(t_K)
    a, s = power.sqrt(), (1 - power).clamp_min(0).sqrt()
    D = (power * deviation**2 + s**2).clamp_min(LEAST_DEVIATION**2)
    match prediction:
        case "x0":
            said = a * deviation**2 / D, s**2 / D, deviation * s / D.sqrt()
        case "eps":
            said = s / D, -a * s / D, -a * deviation / D.sqrt()
        case "v":
            said = a * s * (1 - deviation**2) / D, -s / D, -deviation / D.sqrt()
        case _:
            assert_never(prediction)
    return torch.stack([D.rsqrt(), -a * D.rsqrt(), *said])

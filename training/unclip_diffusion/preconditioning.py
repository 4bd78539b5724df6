"""Preconditioning around an estimate of x_0: coefficients that keep a network's input and target at size one.

With x_t = a x_0 + s noise, an estimate e of x_0 whose errors have deviation d, and D = a^2 d^2 + s^2, the best linear estimate of x_0 is
(s^2 e + a d^2 x_t) / D, and its own error has deviation d s / sqrt(D). Karras et al. (2022), section 5, is the case e = 0.
"""

from typing import assert_never

import torch
from torch import Tensor

from unclip_diffusion.config import Prediction
from unclip_diffusion.schedule import NoiseSchedule

LEAST_DEVIATION = 1e-3  # of x_t around the estimate: a perfect estimate must not divide by zero


def coefficients(prediction: Prediction, schedule: NoiseSchedule, deviation: float, t_K: Tensor) -> Tensor:
    """[5, K] at times t: c_in and c_in_estimate of the input (x_t - a e) / sqrt(D), then c_skip, c_skip_estimate and c_out."""
    power = schedule.alpha_bar(t_K)
    a, s = power.sqrt(), (1 - power).clamp_min(0).sqrt()
    D = (power * deviation**2 + s**2).clamp_min(LEAST_DEVIATION**2)
    match prediction:
        case "x0":
            c_skip, c_skip_estimate, c_out = a * deviation**2 / D, s**2 / D, deviation * s / D.sqrt()
        case "eps":
            c_skip, c_skip_estimate, c_out = s / D, -a * s / D, -a * deviation / D.sqrt()
        case "v":
            c_skip, c_skip_estimate, c_out = a * s * (1 - deviation**2) / D, -s / D, -deviation / D.sqrt()
        case _:
            assert_never(prediction)
    return torch.stack([D.rsqrt(), -a * D.rsqrt(), c_skip, c_skip_estimate, c_out])

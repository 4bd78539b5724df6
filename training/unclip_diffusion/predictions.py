"""Parameterisations of what a network predicts - the noise, the picture, or the velocity between them - and the way from each to x_0."""

from collections.abc import Callable
from typing import assert_never

from torch import Tensor

from unclip_diffusion.config import Prediction
from unclip_diffusion.schedule import NoiseSchedule

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t, t_B) -> x_0, both of the shape of x_t."""


def target(prediction: Prediction, x_0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The network's training target; `alpha_bar` multiplies x_0 (see `NoiseSchedule.like`). v: Salimans & Ho (2022), appendix D."""
    match prediction:
        case "eps":
            return noise
        case "x0":
            return x_0
        case "v":
            return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0
    assert_never(prediction)


def to_x0(prediction: Prediction, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """The x_0 that the network's output stands for."""
    match prediction:
        case "eps":
            return (x_t - (1 - alpha_bar).sqrt() * output) / alpha_bar.sqrt()
        case "x0":
            return output
        case "v":
            return alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * output
    assert_never(prediction)


def to_eps(x_t: Tensor, x_0: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that x_t holds if the picture is x_0; finite at t = 0 too, where there is none."""
    return (x_t - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt().clamp_min(1e-4)


def x0_denoiser(model: Denoiser, schedule: NoiseSchedule, prediction: Prediction, clip: float | None = None) -> Denoiser:
    """A model of any parameterisation as one that gives x_0, within [-clip, clip] where given."""

    def denoise(x_t: Tensor, t_B: Tensor) -> Tensor:
        x_0 = to_x0(prediction, model(x_t, t_B), x_t, schedule.like(t_B, x_t))
        return x_0 if clip is None else x_0.clamp(-clip, clip)

    return denoise

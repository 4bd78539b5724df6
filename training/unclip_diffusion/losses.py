"""Losses: plain and weighted squares of the prediction, and the hybrid loss that also learns the variance."""

import math
from typing import assert_never

import torch
from torch import Tensor

from unclip_diffusion.config import Prediction
from unclip_diffusion.predictions import to_x0
from unclip_diffusion.schedule import NUM_TRAIN_STEPS, NoiseSchedule

VLB_WEIGHT = 0.001  # Nichol & Dhariwal (2021), section 3.1


def prediction_loss(output: Tensor, target: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """Mean square over everything; per-sample weights are taken as they are (so they should be about one on average)."""
    square_B = (output - target).square().flatten(1).mean(1)
    return square_B.mean() if weight_B is None else (weight_B * square_B).mean()


def min_snr_weight(prediction: Prediction, alpha_bar_B: Tensor, gamma: float = 5.0) -> Tensor:
    """min(SNR, gamma) on the x_0 loss, expressed for each parameterisation (Hang et al., 2023, section 3.4)."""
    snr_B = alpha_bar_B / (1 - alpha_bar_B).clamp_min(1e-8)
    capped_B = snr_B.clamp(max=gamma)
    match prediction:
        case "x0":
            return capped_B
        case "eps":
            return capped_B / snr_B
        case "v":
            return capped_B / (snr_B + 1)
    assert_never(prediction)


def velocity_weight(alpha_bar_B: Tensor, floor: float = 0.08) -> Tensor:
    """1 / (1 - alpha_bar): an x_0 loss weighted so is the v loss of the same prediction; `floor` bounds it where there is little noise.

    A small network predicts x_0 far better than v, which holds the noise it would have to carry through (Li & He, 2025).
    """
    return (1 - alpha_bar_B).clamp_min(floor).reciprocal()


def posterior(x_t: Tensor, x_0: Tensor, alpha_bar: Tensor, alpha_bar_prev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of q(x_prev | x_t, x_0), its log-variance, and the log of beta, the largest variance (Ho et al., 2020, eq. 6 and 7)."""
    beta = (1 - alpha_bar / alpha_bar_prev).clamp(1e-8, 0.999999)
    rest, rest_prev = (1 - alpha_bar).clamp_min(1e-8), (1 - alpha_bar_prev).clamp_min(0)
    mean = beta * alpha_bar_prev.sqrt() / rest * x_0 + (1 - beta).sqrt() * rest_prev / rest * x_t
    return mean, (beta * rest_prev / rest).clamp_min(1e-12).log(), beta.log()


def learned_log_variance(fraction: Tensor, log_smallest: Tensor, log_largest: Tensor) -> Tensor:
    """Between the two bounds, by a fraction in [-1, 1] (Nichol & Dhariwal, 2021, eq. 15)."""
    share = (fraction + 1) / 2
    return share * log_largest + (1 - share) * log_smallest


def hybrid_loss(output: Tensor, x_0: Tensor, x_t: Tensor, t_B: Tensor, noise: Tensor, schedule: NoiseSchedule) -> Tensor:
    """L_simple + 0.001 * steps * L_vlb of an eps network with learned variance, [B, 2C, H, W] (Nichol & Dhariwal, 2021, eq. 16).

    The bound moves only the variance: the mean is detached. t_B lies on the grid of 1000 steps.
    """
    eps, fraction = output.chunk(2, dim=1)
    simple = (eps - noise).square().mean()
    return simple + VLB_WEIGHT * NUM_TRAIN_STEPS * _bound(eps.detach(), fraction, x_0, x_t, t_B, schedule).mean()


def _bound(eps: Tensor, fraction: Tensor, x_0: Tensor, x_t: Tensor, t_B: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The term of the variational bound at t_B, in bits per dimension [B]."""
    alpha_bar, alpha_bar_prev = schedule.like(t_B, x_t), schedule.like((t_B - 1 / NUM_TRAIN_STEPS).clamp_min(0), x_t)
    true_mean, log_smallest, log_largest = posterior(x_t, x_0, alpha_bar, alpha_bar_prev)
    last_B = t_B < 1.5 / NUM_TRAIN_STEPS
    log_smallest = torch.where(alpha_bar_prev >= 1 - 1e-6, _second_smallest(schedule, x_t), log_smallest)
    guess = to_x0("eps", eps, x_t, alpha_bar).clamp(-1, 1)
    mean, _, _ = posterior(x_t, guess, alpha_bar, alpha_bar_prev)
    log_variance = learned_log_variance(fraction, log_smallest, log_largest)
    divergence = _normal_divergence(true_mean, log_smallest, mean, log_variance)
    likelihood = -_discrete_log_likelihood(x_0, mean, log_variance / 2)
    term = torch.where(last_B.view(-1, *[1] * (x_t.dim() - 1)), likelihood, divergence)
    return term.flatten(1).mean(1) / math.log(2)


def _second_smallest(schedule: NoiseSchedule, like: Tensor) -> Tensor:
    """At the last step the posterior variance is 0; as in the paper's code the one before stands in."""
    two, one = (like.new_full((1,), step / NUM_TRAIN_STEPS) for step in (2, 1))
    alpha_bar, alpha_bar_prev = schedule.like(two, like), schedule.like(one, like)
    return posterior(like[:1], like[:1], alpha_bar, alpha_bar_prev)[1]


def _normal_divergence(mean_1: Tensor, log_var_1: Tensor, mean_2: Tensor, log_var_2: Tensor) -> Tensor:
    """KL(N_1 || N_2), elementwise, in nats."""
    return 0.5 * (-1 + log_var_2 - log_var_1 + (log_var_1 - log_var_2).exp() + (mean_1 - mean_2).square() * (-log_var_2).exp())


def _discrete_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log P of the 8-bit value in [-1, 1] that x is, under a normal distribution cut into 255 bins (Ho et al., 2020, eq. 13)."""
    inverse = (-log_scale).exp()
    upper = _normal_cdf((x - mean + 1 / 255) * inverse)
    lower = _normal_cdf((x - mean - 1 / 255) * inverse)
    inside = torch.where(x > 0.999, 1 - lower, torch.where(x < -0.999, upper, upper - lower))
    return inside.clamp_min(1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))

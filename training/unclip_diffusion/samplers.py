"""Samplers: plain functions from noise to data. None keeps a state, so each is tested with a lambda.

`denoise(x, t_B)` gives x_0 (see `predictions.x0_denoiser`). `times` fall from 1 to 0 (`sampling_times`). `noise(x)` draws like x; one that
draws per picture makes a picture independent of the batch it is in. `callback(step, x_0)` is called after every step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unclip_diffusion.losses import learned_log_variance, posterior
from unclip_diffusion.predictions import Denoiser, to_eps, to_x0
from unclip_diffusion.schedule import NoiseSchedule

Noise = Callable[[Tensor], Tensor]
Callback = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class SamplerStep:
    """One step of a sampler: from t to the next time, alpha_bar at both."""

    index: int
    t: float
    alpha_bar: Tensor
    alpha_bar_next: Tensor
    is_last: bool

    def times(self, x: Tensor) -> Tensor:
        """t for every row of x [B]."""
        return torch.full((len(x),), self.t, device=x.device, dtype=torch.float32)


def sampler_steps(schedule: NoiseSchedule, times: Tensor, x: Tensor) -> Iterator[SamplerStep]:
    """The steps between consecutive times, alpha_bar computed in float64 and given at the precision of x."""
    alpha_bars = schedule.alpha_bar(times.double()).to(device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
    last = len(times) - 2
    for i in range(last + 1):
        yield SamplerStep(i, float(times[i]), alpha_bars[i], alpha_bars[i + 1], i == last)


@torch.no_grad()
def sample_ddim(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    times: Tensor,
    *,
    eta: float = 0.0,
    noise: Noise = torch.randn_like,
    callback: Callback | None = None,
) -> Tensor:
    """Song et al. (2021a), eq. 12 and 16. eta 0 draws no noise; eta 1 is DDPM with the smaller variance."""
    for step in sampler_steps(schedule, times, x):
        a, a_next = step.alpha_bar, step.alpha_bar_next
        x_0 = denoise(x, step.times(x))
        sigma = eta * ((1 - a_next) / (1 - a)).sqrt() * (1 - a / a_next).clamp_min(0).sqrt()
        x = a_next.sqrt() * x_0 + (1 - a_next - sigma**2).clamp_min(0).sqrt() * to_eps(x, x_0, a)
        if eta > 0 and not step.is_last:
            x = x + sigma * noise(x)
        if callback is not None:
            callback(step.index, x_0)
    return x


@torch.no_grad()
def sample_ddpm(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    times: Tensor,
    *,
    noise: Noise = torch.randn_like,
    callback: Callback | None = None,
) -> Tensor:
    """Ho et al. (2020), algorithm 2, with the posterior's variance."""
    for step in sampler_steps(schedule, times, x):
        x_0 = denoise(x, step.times(x))
        x, log_variance, _ = posterior(x, x_0, step.alpha_bar, step.alpha_bar_next)
        if not step.is_last:
            x = x + (log_variance / 2).exp() * noise(x)
        if callback is not None:
            callback(step.index, x_0)
    return x


@torch.no_grad()
def sample_ddpm_learned(
    model: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    times: Tensor,
    *,
    clip: float | None = 1.0,
    noise: Noise = torch.randn_like,
    callback: Callback | None = None,
) -> Tensor:
    """Nichol & Dhariwal (2021): `model` is the raw eps network [B, 2C, ...] whose second half says where the variance lies."""
    for step in sampler_steps(schedule, times, x):
        eps, fraction = model(x, step.times(x)).chunk(2, dim=1)
        x_0 = to_x0("eps", eps, x, step.alpha_bar)
        x_0 = x_0 if clip is None else x_0.clamp(-clip, clip)
        x, log_smallest, log_largest = posterior(x, x_0, step.alpha_bar, step.alpha_bar_next)
        if not step.is_last:
            x = x + (learned_log_variance(fraction, log_smallest, log_largest) / 2).exp() * noise(x)
        if callback is not None:
            callback(step.index, x_0)
    return x


@torch.no_grad()
def sample_dpm(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    times: Tensor,
    *,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2022, algorithm 2); the first and the last step are of first order. Draws no noise."""
    before: tuple[Tensor, Tensor] | None = None  # x_0 of the step before, and that step's width in half log-SNR
    for step in sampler_steps(schedule, times, x):
        a, a_next = step.alpha_bar, step.alpha_bar_next
        x_0 = denoise(x, step.times(x))
        width = _half_log_snr(a_next) - _half_log_snr(a)
        blend = x_0
        if before is not None and not step.is_last:
            ratio = width / before[1] / 2
            blend = (1 + ratio) * x_0 - ratio * before[0]
        keep = ((1 - a_next) / (1 - a)).sqrt()
        x = keep * x + (a_next.sqrt() - keep * a.sqrt()) * blend
        before = x_0, width
        if callback is not None:
            callback(step.index, x_0)
    return x


def _half_log_snr(alpha_bar: Tensor) -> Tensor:
    return 0.5 * (alpha_bar.log() - (1 - alpha_bar).clamp_min(1e-12).log())


@torch.no_grad()
def sample_analytic(
    denoise: Denoiser,
    x: Tensor,
    schedule: NoiseSchedule,
    times: Tensor,
    *,
    noise_power: Sequence[float],
    noise: Noise = torch.randn_like,
    callback: Callback | None = None,
) -> Tensor:
    """Analytic-DPM (Bao et al., 2022, theorem 1): DDPM with the best variance, given what `noise_power` measured at the same times."""
    assert len(noise_power) == len(times) - 1, "one power for each step"
    for step, power in zip(sampler_steps(schedule, times, x), noise_power, strict=True):
        a, a_next = step.alpha_bar, step.alpha_bar_next
        x_0 = denoise(x, step.times(x))
        x, log_variance, _ = posterior(x, x_0, a, a_next)
        if not step.is_last:
            x = x + analytic_variance(log_variance.exp(), a, a_next, power).sqrt() * noise(x)
        if callback is not None:
            callback(step.index, x_0)
    return x


def analytic_variance(smallest: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, power: float) -> Tensor:
    """Bao et al. (2022), eq. 8: the posterior's variance plus the doubt about x_0; `power` is the mean square of the noise predicted."""
    step = alpha_bar / alpha_bar_next
    gap = ((1 - alpha_bar) / step).sqrt() - (1 - alpha_bar_next - smallest).clamp_min(0).sqrt()
    largest = (1 - step).clamp_min(0) + smallest
    return (smallest + gap**2 * (1 - min(power, 1.0))).clamp(max=float(largest))


@torch.no_grad()
def noise_power(
    denoise: Denoiser, x_0: Tensor, schedule: NoiseSchedule, times: Tensor, *, noise: Noise = torch.randn_like
) -> tuple[float, ...]:
    """Mean square of the noise the model predicts at each time but the last, over these data: what `sample_analytic` needs."""
    powers = []
    for step in sampler_steps(schedule, times, x_0):
        x_t = step.alpha_bar.sqrt() * x_0 + (1 - step.alpha_bar).sqrt() * noise(x_0)
        powers.append(float(to_eps(x_t, denoise(x_t, step.times(x_t)), step.alpha_bar).square().mean()))
    return tuple(powers)

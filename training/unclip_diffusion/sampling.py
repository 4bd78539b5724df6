"""One call that samples as a `Diffusion` says: settings turned into the functions they name."""

import torch
from torch import Tensor

from unclip_diffusion.config import Diffusion
from unclip_diffusion.guidance import Conditional, guided, guided_noise_only
from unclip_diffusion.predictions import x0_denoiser
from unclip_diffusion.samplers import Callback, Noise, sample_analytic, sample_ddim, sample_ddpm, sample_ddpm_learned, sample_dpm
from unclip_diffusion.schedule import sampling_times, schedule_named


def sample(
    diffusion: Diffusion,
    model: Conditional,
    x: Tensor,
    *,
    guidance: float = 1.0,
    noise: Noise = torch.randn_like,
    callback: Callback | None = None,
) -> Tensor:
    """From noise x to data of the same shape. `model(x, t_B, keep_B)` is the network with its conditioning bound; guidance 1 is none."""
    schedule, times = schedule_named(diffusion.schedule), sampling_times(diffusion.steps)
    if diffusion.sampler == "ddpm_learned":
        raw = guided_noise_only(model, guidance, channels=x.shape[1])
        return sample_ddpm_learned(raw, x, schedule, times, clip=diffusion.clip, noise=noise, callback=callback)
    denoise = x0_denoiser(guided(model, guidance), schedule, diffusion.prediction, diffusion.clip)
    match diffusion.sampler:
        case "ddim":
            return sample_ddim(denoise, x, schedule, times, eta=diffusion.eta, noise=noise, callback=callback)
        case "ddpm":
            return sample_ddpm(denoise, x, schedule, times, noise=noise, callback=callback)
        case "dpm":
            return sample_dpm(denoise, x, schedule, times, callback=callback)
        case "analytic":
            power = diffusion.noise_power
            return sample_analytic(denoise, x, schedule, times, noise_power=power, noise=noise, callback=callback)

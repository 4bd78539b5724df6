"""Prior's stage: from a caption to the CLIP embedding of a picture (Ramesh et al., 2022, section 2.2)."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unclip_diffusion.config import Diffusion
from unclip_diffusion.predictions import x0_denoiser
from unclip_diffusion.samplers import noise_power
from unclip_diffusion.schedule import sampling_times
from unclip_models.prior import Prior
from unclip_training.config import PriorRun
from unclip_training.data.batches import Batch
from unclip_training.stages.diffusion import DiffusionStage

if TYPE_CHECKING:
    from unclip_models.clip import Clip


class PriorStage(DiffusionStage[PriorRun]):
    """The prior predicts the clean, standardised image embedding."""

    network: Prior

    def __init__(self, run: PriorRun, network: Prior, clip: "Clip | None" = None) -> None:
        super().__init__(run, network, clip)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error on the standardised embedding, captions left out in `drop_text` of the cases."""
        text, z_BD = self.text(batch), self.network.stats.standardise(batch["clip_image"])
        keep_B = self.keep(len(z_BD), self.run.drop_text)
        return self.denoising_loss(z_BD, lambda x, t_B: self.network(x, t_B, text, keep_B), batch.get("weight"))

    @torch.no_grad()
    def final_diffusion(self) -> Diffusion:
        """For an analytic sampler, the noise power is measured on some pairs of the training set with the weights as they are now."""
        diffusion = self.run.diffusion
        if not self.run.analytic or self.shown is None:
            return diffusion
        # Lightning moves a trained network back to the CPU
        shown = {name: column.to(self.device) for name, column in self.shown.items()}
        text, z_BD = self.text(shown), self.network.stats.standardise(shown["clip_image"])
        denoise = x0_denoiser(lambda x, t_B: self.network(x, t_B, text), self.schedule, diffusion.prediction, diffusion.clip)
        powers = noise_power(denoise, z_BD, self.schedule, sampling_times(diffusion.steps).to(z_BD))
        return replace(diffusion, sampler="analytic", noise_power=powers)

"""Upsampler's stage: detail for a picture that is known small (Ramesh et al., 2022, section 2.1 and appendix C)."""

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unclip_diffusion.degrade import add_smooth_noise, degrade_light, gaussian_blur
from unclip_models.upsampler import CompactUpsampler, Upsampler
from unclip_training.config import UpsamplerRun
from unclip_training.data.batches import Batch
from unclip_training.stages.diffusion import DiffusionStage
from unclip_training.stages.pixels import grid, to_pixels


class UpsamplerStage(DiffusionStage[UpsamplerRun]):
    """Learns on crops, paints whole pictures; the small picture is degraded while learning, so that the decoder's flaws are forgiven."""

    network: Upsampler | CompactUpsampler

    def __init__(self, run: UpsamplerRun, network: Upsampler | CompactUpsampler) -> None:
        super().__init__(run, network)
        self.factor = run.side // run.model.low_size

    def loss(self, batch: Batch) -> Tensor:
        """The prediction loss on a random crop, the same one for the whole batch."""
        x_0 = self._crop(to_pixels(batch["pictures"]))
        low, condition = self._degraded(avg_pool2d(x_0, self.factor)), self._condition(batch)
        if condition:
            condition = (*condition, self.keep(len(x_0), self.run.drop_embedding))
        return self.denoising_loss(x_0, lambda x, t_B: self.network(x, t_B, low, *condition), batch.get("weight"))

    def _condition(self, batch: Batch) -> tuple[Tensor, ...]:
        """The embedding, for an upsampler that is told it."""
        return (batch["clip_image"],) if self.run.needs_clip else ()

    def _crop(self, x: Tensor) -> Tensor:
        """A crop whose corner lies on the small picture's pixels."""
        places = (self.run.side - self.run.crop) // self.factor + 1
        top, left = (int(place) * self.factor for place in torch.randint(places, (2,)))
        return x[:, :, top : top + self.run.crop, left : left + self.run.crop].contiguous(memory_format=torch.channels_last)

    def _degraded(self, low: Tensor) -> Tensor:
        """Gaussian blur (first upsampler) or the lighter BSR chain (second), in a share of the pictures."""
        if self.run.degradation == "blur":
            worse = gaussian_blur(low)
        else:
            worse = degrade_light(low, torch.Generator().manual_seed(int(torch.randint(2**31, (1,)))))
        chosen_B = torch.rand(len(low), device=low.device) < self.run.degraded_share
        degraded = torch.where(chosen_B.view(-1, 1, 1, 1), worse, low)
        return add_smooth_noise(degraded, self.run.conditioning_noise) if self.run.conditioning_noise else degraded

    def paint(self) -> Image.Image | None:
        """Triples: the small picture enlarged, the upsampler's, the true one."""
        if self.shown is None:
            return None
        x_0 = to_pixels(self.shown["pictures"][:8])
        low, condition = avg_pool2d(x_0, self.factor), tuple(column[:8] for column in self._condition(self.shown))
        painted = self.sample(lambda x, t_B, keep_B: self.network(x, t_B, low, *condition), tuple(x_0.shape))
        return grid([interpolate(low, scale_factor=self.factor, mode="nearest"), painted, x_0], tile=self.run.side, across=2)

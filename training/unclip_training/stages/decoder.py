"""Decoder's stage: from a CLIP embedding to a small picture (Ramesh et al., 2022, section 2.1)."""

from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from unclip_diffusion.losses import hybrid_loss
from unclip_diffusion.schedule import step_times
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.config import CompactDecoderConfig
from unclip_models.decoder import Decoder
from unclip_training.config import DecoderRun
from unclip_training.data.batches import Batch
from unclip_training.stages.diffusion import DiffusionStage
from unclip_training.stages.pixels import grid, to_pixels

if TYPE_CHECKING:
    from unclip_models.clip import Clip


def noised_embedding(network: CompactDecoder, z_BD: Tensor, deviation: float) -> Tensor:
    """The embedding with noise on its standardised form."""
    return z_BD if deviation == 0 else network.stats.restore(network.stats.standardise(z_BD) + deviation * torch.randn_like(z_BD))


class DecoderStage(DiffusionStage[DecoderRun]):
    """The paper's decoder learns with the hybrid loss of improved DDPM, the compact one with a plain prediction loss."""

    network: Decoder | CompactDecoder

    def __init__(self, run: DecoderRun, network: Decoder | CompactDecoder, clip: "Clip | None" = None) -> None:
        super().__init__(run, network, clip)
        self.reads_text = not isinstance(run.model, CompactDecoderConfig) or run.model.text_width > 0

    def loss(self, batch: Batch) -> Tensor:
        """The loss on pictures of which the embedding, the caption or both are left out now and then."""
        x_0, text = to_pixels(batch["pictures"]), self.text(batch) if self.reads_text else None
        keep = self.keep(len(x_0), self.run.drop_embedding), self.keep(len(x_0), self.run.drop_text)
        if isinstance(self.network, CompactDecoder):
            z_BD = noised_embedding(self.network, batch["clip_image"], self.run.embedding_noise)
            return self.denoising_loss(x_0, lambda x, t_B: self.network(x, t_B, z_BD, text, *keep), batch.get("weight"))
        t_B, noise = step_times(len(x_0)).to(self.device), torch.randn_like(x_0)
        x_t = self.schedule.q_sample(x_0, t_B, noise)
        return hybrid_loss(self.network(x_t, t_B, batch["clip_image"], text, *keep), x_0, x_t, t_B, noise, self.schedule)

    def weight_at(self, t_B: Tensor) -> Tensor | None:
        """As in `DiffusionStage`, and the weighting that only the compact decoder has."""
        if self.run.weighting != "detail":
            return super().weight_at(t_B)
        assert isinstance(self.network, CompactDecoder)
        return self.network.preconditioning(t_B, 1).c_out.square().clamp_min(1e-4).reciprocal()

    def paint(self) -> Image.Image | None:
        """Pairs of training picture and its reconstruction from the embedding alone."""
        if self.shown is None:
            return None
        x_0, z_BD = to_pixels(self.shown["pictures"]), self.shown["clip_image"]
        text = self.text(self.shown) if self.reads_text else None
        return grid([x_0, self.sample(lambda x, t_B, keep_B: self.network(x, t_B, z_BD, text), tuple(x_0.shape))])

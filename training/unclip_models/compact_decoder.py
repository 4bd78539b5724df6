"""This file is a decoder for minutes on a CPU: the paper's conditioning, and more of it, in a U-Net that works on folded pixels.

What differs from `decoder.py`: pixels are folded `patch` x `patch` into channels; the embedding is standardised by stored statistics and
enters in three ways (added to the time embedding, as extra tokens, as a map over the picture that a linear layer draws); text, where
it is read at all, is CLIP's frozen token features; one output of three channels, whose meaning the diffusion decides.
"""

# B batch, C channels, H W sides after folding, D embedding, T context tokens, W width of CLIP's text tower, E width of the conditioning

import torch
from torch import Tensor, nn

from unclip_models.config import CompactDecoderConfig
from unclip_models.layers import EmbeddingStats, TimeEmbedding, kept
from unclip_models.text import Text
from unclip_models.unet import Head, UNet


class CompactDecoder(nn.Module):
    """`forward(x_t, t, z_image, text)` is [B, 3, H, W]."""

    def __init__(self, config: CompactDecoderConfig) -> None:
        super().__init__()
        self.config = config
        unet, pixel_channels = config.unet, 3 * config.patch**2
        self.stats = EmbeddingStats(config.embed_dim, scale=config.embed_dim**0.5)
        self.time_in = TimeEmbedding(unet.channels, unet.time_width)
        self.image_in = nn.Linear(config.embed_dim, unet.time_width)
        self.image_map = nn.Linear(config.embed_dim, unet.channels * config.map_side**2)
        self.context_width = config.text_width or unet.channels
        self.image_tokens = nn.Linear(config.embed_dim, config.image_tokens * self.context_width)
        self.null_image_D = nn.Parameter(torch.zeros(config.embed_dim))
        self.null_text_W = nn.Parameter(torch.zeros(config.text_width)) if config.text_width else None
        self.stem = nn.Conv2d(pixel_channels, unet.channels, 3, padding=1)
        self.unet = UNet(unet, context_width=self.context_width)
        self.head = Head(unet, channels_out=pixel_channels)

    def forward(
        self,
        x_BCHW: Tensor,
        t_B: Tensor,
        z_image_BD: Tensor,
        text: Text | None = None,
        keep_image_B: Tensor | None = None,
        keep_text_B: Tensor | None = None,
    ) -> Tensor:
        z_BD = kept(self.stats.standardise(z_image_BD), self.null_image_D, keep_image_B)
        emb_BE = self.time_in(t_B) + self.image_in(z_BD)
        h_BCHW = self.stem(nn.functional.pixel_unshuffle(x_BCHW, self.config.patch)) + self._map(z_BD)
        features_BCHW = self.unet(h_BCHW, emb_BE, self._context(z_BD, text, keep_text_B))
        return nn.functional.pixel_shuffle(self.head(features_BCHW), self.config.patch).float()

    def _map(self, z_BD: Tensor) -> Tensor:
        """The embedding as a picture of features [B, C, H, W]."""
        side = self.config.map_side
        map_BCHW = self.image_map(z_BD).unflatten(1, (-1, side, side))
        return nn.functional.interpolate(map_BCHW, scale_factor=self.config.unet.side // side, mode="nearest")

    def _context(self, z_BD: Tensor, text: Text | None, keep_text_B: Tensor | None) -> Tensor:
        """Tokens of the embedding, then of the text [B, T, context_width]."""
        image_BTW = self.image_tokens(z_BD).unflatten(1, (self.config.image_tokens, -1))
        if self.null_text_W is None:
            return image_BTW
        if text is None:
            return torch.cat([image_BTW, self.null_text_W.expand(len(z_BD), 1, -1).to(image_BTW.dtype)], dim=1)
        return torch.cat([image_BTW, kept(text.features_BSW, self.null_text_W, keep_text_B).to(image_BTW.dtype)], dim=1)

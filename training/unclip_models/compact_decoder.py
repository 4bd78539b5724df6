"""Decoder for minutes on a CPU: the paper's conditioning, and more of it, in a U-Net that works on folded pixels.

What differs from `decoder.py`: pixels are folded `patch` x `patch` into channels; the embedding is whitened by stored statistics and enters
in up to four ways (added to the time embedding, as a map of features that a linear layer draws, as tokens where the U-Net attends, and
through a regressor of the picture, trained first and then frozen); text, where it is read at all, is CLIP's frozen embedding and token
features; there is one output, whose meaning the diffusion decides.
"""

# B batch, C channels, H W sides (folded inside the U-Net), D embedding, T context tokens, W width of CLIP's text tower, E conditioning

from typing import cast

import torch
from torch import Tensor, nn

from unclip_models.config import CompactDecoderConfig
from unclip_models.layers import TimeEmbedding, Whitening, kept
from unclip_models.preconditioning import Preconditioning
from unclip_models.regressors import PictureRegressor
from unclip_models.text import Text
from unclip_models.unet import Head, UNet


class CompactDecoder(nn.Module):
    """`forward(x_t, t, z_image, text)` is [B, 3, H, W]."""

    def __init__(self, config: CompactDecoderConfig) -> None:
        super().__init__()
        self.config = config
        unet, pixel_channels, reads_text = config.unet, 3 * config.patch**2, config.text_width > 0
        self.condition_width = config.embed_dim * (2 if reads_text else 1)
        self.context_width = config.text_width or unet.channels
        self.stats = Whitening(config.embed_dim)
        self.text_stats = Whitening(config.embed_dim) if reads_text else None
        self.null_image_D = nn.Parameter(torch.zeros(config.embed_dim))
        self.null_text_D = nn.Parameter(torch.zeros(config.embed_dim)) if reads_text else None
        self.null_token_W = nn.Parameter(torch.zeros(config.text_width)) if reads_text else None
        self.time_in = TimeEmbedding(unet.channels, unet.time_width)
        self.condition_in = nn.Linear(self.condition_width, unet.time_width)
        self.condition_map = nn.Linear(self.condition_width, unet.channels * config.map_side**2)
        self.image_tokens = nn.Linear(config.embed_dim, config.image_tokens * self.context_width)
        regressor = PictureRegressor(config.regressor, self.condition_width, config.image_size) if config.regressor else None
        self.add_module("sketch", regressor)
        self.stem = nn.Conv2d(pixel_channels * (2 if regressor else 1), unet.channels, 3, padding=1)
        self.unet = UNet(unet, context_width=self.context_width if unet.attention_sides else 0)
        self.head = Head(unet, channels_out=pixel_channels)
        self.add_module("shares", Preconditioning())

    @property
    def regressor(self) -> PictureRegressor | None:
        """From the condition to the mean picture; weights files know it as `sketch`."""
        return cast("PictureRegressor | None", self._modules["sketch"])

    @property
    def preconditioning(self) -> Preconditioning:
        """Weights files know it as `shares`."""
        return cast(Preconditioning, self._modules["shares"])

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
        condition_BD = self.condition(z_BD, text, keep_text_B)
        regressor = self.regressor
        estimate_BCHW = torch.zeros_like(x_BCHW) if regressor is None else regressor(condition_BD).to(x_BCHW.dtype)
        c = self.preconditioning(t_B, x_BCHW.dim())
        input_BCHW = c.network_input(x_BCHW, estimate_BCHW)
        if regressor is not None:
            input_BCHW = torch.cat([input_BCHW, estimate_BCHW], dim=1)
        h_BCHW = self.stem(nn.functional.pixel_unshuffle(input_BCHW, self.config.patch)) + self._map(condition_BD)
        context_BTW = self._context(z_BD, text, keep_text_B) if self.config.unet.attention_sides else None
        features_BCHW = self.unet(h_BCHW, self.time_in(t_B) + self.condition_in(condition_BD), context_BTW)
        residual_BCHW = nn.functional.pixel_shuffle(self.head(features_BCHW), self.config.patch)
        return c.output(x_BCHW, estimate_BCHW, residual_BCHW.float())

    def condition(self, z_BD: Tensor, text: Text | None, keep_text_B: Tensor | None) -> Tensor:
        """The whitened embedding and, for a decoder that reads text, the text's own beside it [B, condition_width]."""
        if self.null_text_D is None:
            return z_BD
        if text is None:
            return torch.cat([z_BD, self.null_text_D.expand(len(z_BD), -1)], dim=1)
        assert self.text_stats is not None
        return torch.cat([z_BD, kept(self.text_stats.standardise(text.embedding_BD), self.null_text_D, keep_text_B)], dim=1)

    def _map(self, condition_BD: Tensor) -> Tensor:
        """The condition as a picture of features [B, C, H, W]."""
        side = self.config.map_side
        map_BCHW = self.condition_map(condition_BD).unflatten(1, (-1, side, side))
        return nn.functional.interpolate(map_BCHW, scale_factor=self.config.unet.side // side, mode="nearest")

    def _context(self, z_BD: Tensor, text: Text | None, keep_text_B: Tensor | None) -> Tensor:
        """Tokens of the embedding, then of the text [B, T, context_width]."""
        image_BTW = self.image_tokens(z_BD).unflatten(1, (self.config.image_tokens, -1))
        if self.null_token_W is None:
            return image_BTW
        if text is None:
            return torch.cat([image_BTW, self.null_token_W.expand(*image_BTW.shape).to(image_BTW.dtype)], dim=1)
        return torch.cat([image_BTW, kept(text.features_BSW, self.null_token_W, keep_text_B).to(image_BTW.dtype)], dim=1)

"""Two kinds of upsampler: the paper's (Ramesh et al., 2022, section 2.1), and a compact one.

Both are convolutions only, know no caption, and see the small picture enlarged bilinearly and put beside the noised large one. Having no
attention they take any size, so they train on crops and run on whole pictures. The compact one folds pixels into channels and *adds* to
the enlarged picture: it starts as bilinear. It may also be told the CLIP embedding, for what a picture of 16 px cannot show.
"""

# B batch, C channels, H W sides of the large picture, h w of the small one, D embedding, E width of the conditioning

import torch
from torch import Tensor, nn

from unclip_models.config import CompactUpsamplerConfig, UpsamplerConfig
from unclip_models.layers import TimeEmbedding, Whitening, kept
from unclip_models.unet import Head, UNet


def enlarged(low_BChw: Tensor, like_BCHW: Tensor) -> Tensor:
    """The small picture at the size of the other."""
    return nn.functional.interpolate(low_BChw, size=like_BCHW.shape[-2:], mode="bilinear", align_corners=False)


class Upsampler(nn.Module):
    """`forward(x_t, t, low)` is [B, 3, H, W], whose meaning the diffusion decides."""

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        self.time_in = TimeEmbedding(config.unet.channels, config.unet.time_width)
        self.stem = nn.Conv2d(6, config.unet.channels, 3, padding=1)
        self.unet = UNet(config.unet)
        self.head = Head(config.unet, channels_out=3)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, low_BChw: Tensor) -> Tensor:
        h_BCHW = self.stem(torch.cat([x_BCHW, enlarged(low_BChw, x_BCHW)], dim=1))
        return self.head(self.unet(h_BCHW, self.time_in(t_B))).float()


class CompactUpsampler(nn.Module):
    """`forward(x_t, t, low, z_image)` is the clean large picture [B, 3, H, W]: the enlarged small one plus what the network adds.

    `z_image` [B, D] is read with `embed_dim` only; where `keep_B` is false it is the learned null.
    """

    def __init__(self, config: CompactUpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        self.time_in = TimeEmbedding(config.unet.channels, config.unet.time_width)
        self.stats = Whitening(config.embed_dim) if config.embed_dim else None
        self.null_image_D = nn.Parameter(torch.zeros(config.embed_dim)) if config.embed_dim else None
        self.condition_in = nn.Linear(config.embed_dim, config.unet.time_width) if config.embed_dim else None
        self.stem = nn.Conv2d(6 * config.patch**2, config.unet.channels, 3, padding=1)
        self.unet = UNet(config.unet)
        self.head = Head(config.unet, channels_out=3 * config.patch**2)

    def forward(
        self, x_BCHW: Tensor, t_B: Tensor, low_BChw: Tensor, z_image_BD: Tensor | None = None, keep_B: Tensor | None = None
    ) -> Tensor:
        large_BCHW = enlarged(low_BChw, x_BCHW)
        folded = nn.functional.pixel_unshuffle(torch.cat([x_BCHW, large_BCHW], dim=1), self.config.patch)
        added = self.head(self.unet(self.stem(folded), self.time_in(t_B) + self._condition(z_image_BD, keep_B)))
        return large_BCHW.float() + nn.functional.pixel_shuffle(added, self.config.patch).float()

    def _condition(self, z_image_BD: Tensor | None, keep_B: Tensor | None) -> Tensor | float:
        """What is added to the time embedding [B, E]; 0 without `embed_dim`."""
        if self.stats is None or self.condition_in is None or self.null_image_D is None:
            return 0.0
        assert z_image_BD is not None, "this upsampler is conditioned on the embedding"
        return self.condition_in(kept(self.stats.standardise(z_image_BD), self.null_image_D, keep_B))

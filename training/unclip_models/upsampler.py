"""Two kinds of upsampler: the paper's (Ramesh et al., 2022, section 2.1), and a compact one.

Both are convolutions only, know no caption, and see the small picture enlarged bilinearly and put beside the noised large one. Having no
attention they take any size, so they train on crops and run on whole pictures. The compact one folds pixels into channels and *adds* to
the enlarged picture: it starts as bilinear.
"""

# B batch, C channels, H W sides of the large picture, h w of the small one, E width of the conditioning

import torch
from torch import Tensor, nn

from unclip_models.config import CompactUpsamplerConfig, UpsamplerConfig
from unclip_models.layers import TimeEmbedding
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
    """`forward(x_t, t, low)` is the clean large picture [B, 3, H, W]: the enlarged small one plus what the network adds."""

    def __init__(self, config: CompactUpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        self.time_in = TimeEmbedding(config.unet.channels, config.unet.time_width)
        self.stem = nn.Conv2d(6 * config.patch**2, config.unet.channels, 3, padding=1)
        self.unet = UNet(config.unet)
        self.head = Head(config.unet, channels_out=3 * config.patch**2)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, low_BChw: Tensor) -> Tensor:
        large_BCHW = enlarged(low_BChw, x_BCHW)
        folded = nn.functional.pixel_unshuffle(torch.cat([x_BCHW, large_BCHW], dim=1), self.config.patch)
        added = self.head(self.unet(self.stem(folded), self.time_in(t_B)))
        return large_BCHW.float() + nn.functional.pixel_shuffle(added, self.config.patch).float()

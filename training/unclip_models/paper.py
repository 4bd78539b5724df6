"""Sizes the paper published (Ramesh et al., 2022, table 3 and appendix C), and a table that holds ours against them."""

from dataclasses import dataclass

import torch
from torch import nn

from unclip_models.build import build, num_parameters
from unclip_models.config import ClipConfig, DecoderConfig, NetworkConfig, PriorConfig, TowerConfig, UNetConfig, UpsamplerConfig

VOCAB_SIZE = 49_408  # CLIP's byte-pair vocabulary
CONTEXT = 256

PAPER_CLIP = ClipConfig(
    image_size=256,
    patch_size=16,
    vision=TowerConfig(width=1280, depth=32, heads=16),
    text=TowerConfig(width=1024, depth=24, heads=16),
    vocab_size=VOCAB_SIZE,
    context=CONTEXT,
    embed_dim=1024,
)
# The paper gives width, depth, heads, context and "1B", but no MLP ratio: with 4 it would be 1.21B, with 3 everything printed holds.
PAPER_PRIOR = PriorConfig(
    embed_dim=1024, text_width=1024, context=CONTEXT, tower=TowerConfig(width=2048, depth=24, heads=32, mlp_ratio=3.0)
)
PAPER_DECODER = DecoderConfig(
    unet=UNetConfig(
        side=64, channels=512, multipliers=(1, 2, 3, 4), num_blocks=3, attention_sides=(32, 16, 8), head_channels=64, dropout=0.1
    ),
    text=TowerConfig(width=2048, depth=24, heads=32),
    vocab_size=VOCAB_SIZE,
    context=CONTEXT,
    embed_dim=1024,
)
PAPER_UPSAMPLER_256 = UpsamplerConfig(
    low_size=64, unet=UNetConfig(side=256, channels=320, multipliers=(1, 2, 3, 4), num_blocks=3, dropout=0.1)
)
# The width of the time embedding is not published. ADM's 4 * 192 gives 282M; the first upsampler's 1280, used for both, gives 299M.
PAPER_UPSAMPLER_1024 = UpsamplerConfig(
    low_size=256,
    unet=UNetConfig(side=1024, channels=192, multipliers=(1, 1, 2, 2, 4, 4), num_blocks=2, condition_width=1280),
)


@dataclass(frozen=True)
class SizeRow:
    """One network: parameters of ours, the published figure, and where that is printed."""

    name: str
    parameters: int
    published: float
    source: str

    @property
    def deviation(self) -> float:
        """Ours over the published figure, less one."""
        return self.parameters / self.published - 1


def parameter_table() -> list[SizeRow]:
    """The paper's networks, built on the meta device, beside their published sizes."""
    vision = on_meta(PAPER_CLIP).get_submodule("network.visual")
    table_3 = "unCLIP, table 3"
    return [
        SizeRow("CLIP ViT-H/16, image tower", num_parameters(vision), 632e6, "ViT-H, Dosovitskiy et al. (2021), table 1"),
        SizeRow("prior", num_parameters(on_meta(PAPER_PRIOR)), 1.0e9, table_3),
        SizeRow("decoder", num_parameters(on_meta(PAPER_DECODER)), 3.5e9, table_3),
        SizeRow("upsampler 64 to 256", num_parameters(on_meta(PAPER_UPSAMPLER_256)), 700e6, table_3),
        SizeRow("upsampler 256 to 1024", num_parameters(on_meta(PAPER_UPSAMPLER_1024)), 300e6, table_3),
    ]


def on_meta(config: NetworkConfig) -> nn.Module:
    """The network without memory behind it: shapes only."""
    with torch.device("meta"):
        return build(config)

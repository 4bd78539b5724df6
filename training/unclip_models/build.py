"""Way from a config to its network."""

from torch import nn

from unclip_models.clip import Clip
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    DecoderConfig,
    NetworkConfig,
    PriorConfig,
    UpsamplerConfig,
)
from unclip_models.decoder import Decoder
from unclip_models.prior import Prior
from unclip_models.upsampler import CompactUpsampler, Upsampler


def build(config: NetworkConfig) -> nn.Module:
    """The network of this config, freshly initialised. Under `torch.device("meta")` it costs no memory."""
    match config:
        case ClipConfig():
            return Clip(config)
        case PriorConfig():
            return Prior(config)
        case DecoderConfig():
            return Decoder(config)
        case CompactDecoderConfig():
            return CompactDecoder(config)
        case UpsamplerConfig():
            return Upsampler(config)
        case CompactUpsamplerConfig():
            return CompactUpsampler(config)


def num_parameters(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters())

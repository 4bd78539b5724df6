"""Tests of the small recipes by arithmetic: that they fit together, and that what they leave can travel."""

import torch
from torch import nn

from unclip_models.build import build
from unclip_models.paper import on_meta
from unclip_training.recipes.small import clip_small, decoder_small, prior_small, upsampler_256_small, upsampler_1024_small

LARGE = 500_000  # numbers; smaller buffers, such as whitening matrices, travel in float32
MOST_BYTES = 60_000_000


def travelling_bytes(network: nn.Module) -> int:
    """In bf16, but for the small buffers."""
    learned = {name for name, _ in network.named_parameters()}
    sizes = {name: value.numel() for name, value in network.state_dict().items()}
    return sum(size * (2 if name in learned or size >= LARGE else 4) for name, size in sizes.items())


def test_the_weights_of_all_five_networks_fill_sixty_megabytes_at_most() -> None:
    runs = (clip_small(), prior_small(), decoder_small(), upsampler_256_small(), upsampler_1024_small())
    sizes = {run.stage: travelling_bytes(on_meta(run.model)) for run in runs}
    assert 0.8 * MOST_BYTES < sum(sizes.values()) < MOST_BYTES, sizes


def test_each_stage_takes_what_the_one_before_gives() -> None:
    clip, prior, decoder, first, second = clip_small(), prior_small(), decoder_small(), upsampler_256_small(), upsampler_1024_small()
    assert (prior.model.context, prior.model.text_width) == (clip.model.context, clip.model.text.width)
    told = [getattr(run.model, "embed_dim", None) for run in (clip, prior, decoder, first, second)]
    assert told == [clip.model.embed_dim] * 5
    sides = [decoder.model.image_size, first.model.low_size, first.model.image_size, second.model.low_size, second.model.image_size]
    assert sides == [64, 64, 128, 128, 256]


def test_the_decoder_starts_as_nothing() -> None:
    run = decoder_small()
    network = build(run.model)
    with torch.no_grad():
        painted = network(torch.randn(1, 3, 64, 64), torch.rand(1), torch.randn(1, 256))
    assert painted.shape == (1, 3, 64, 64) and painted.abs().max() == 0

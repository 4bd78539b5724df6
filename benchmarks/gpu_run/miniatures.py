"""Miniatures: the `small` recipes, and the paper's networks, with tiny widths and a few steps, for checks and for a dry run."""

from dataclasses import replace

from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    DecoderConfig,
    NetworkConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
    UpsamplerConfig,
)
from unclip_training.config import ClipRun, DecoderRun, PriorRun, UpsamplerRun
from unclip_training.recipes.small import clip_small, decoder_small, prior_small, upsampler_256_small, upsampler_1024_small

DIM = 16
TOWER = TowerConfig(width=16, depth=1, heads=2)
SmallRun = ClipRun | PriorRun | DecoderRun | UpsamplerRun


def small_runs() -> list[SmallRun]:
    """The recipes of size small, the most wanted first after what they need."""
    return [clip_small(), prior_small(), decoder_small(), upsampler_256_small(), upsampler_1024_small()]


def miniature(run: SmallRun, steps: int = 12) -> SmallRun:
    """The run with a tiny network, batches of four, and so many steps. A pretrained tower and word vectors stay."""
    short = {"steps": steps, "batch_size": 4, "validation_pairs": 4, "compiled": False, "optim": replace(run.optim, warmup=2)}
    if isinstance(run, ClipRun):
        return replace(run, model=replace(run.model, text=TOWER, embed_dim=DIM, word_width=16), **short)
    diffusion = replace(run.diffusion, steps=(2,))
    if isinstance(run, PriorRun):
        return replace(run, model=replace(run.model, tower=TOWER, embed_dim=DIM, text_width=16), diffusion=diffusion, **short)
    if isinstance(run, DecoderRun):
        unet = UNetConfig(
            side=16, channels=16, multipliers=(1, 2), num_blocks=1, attention_sides=(8,), head_channels=16, num_groups=4, condition_width=16
        )
        model = CompactDecoderConfig(image_size=64, patch=4, unet=unet, embed_dim=DIM, map_side=4)
        return replace(run, model=model, diffusion=diffusion, **short)
    assert isinstance(run.model, CompactUpsamplerConfig)
    side = run.model.image_size
    unet = UNetConfig(side=side // 8, channels=8, multipliers=(1,), num_blocks=1, num_groups=4, condition_width=16)
    return replace(run, model=replace(run.model, patch=8, unet=unet, embed_dim=DIM), diffusion=diffusion, **short)


def plain_clip(steps: int = 4) -> ClipRun:
    """A CLIP that needs no pretrained weights, to condition the checks on."""
    model = replace(clip_small().model, image_size=32, patch_size=16, vision=TOWER, text=TOWER, vocab_size=400, context=12, embed_dim=DIM)
    model = replace(model, locked=False, word_width=0)
    run = miniature(clip_small(), steps)
    assert isinstance(run, ClipRun)
    return replace(run, model=model, side=32, keep_best=False)


def checked_prior(steps: int) -> PriorRun:
    """A prior for the CLIP above."""
    run = miniature(prior_small(), steps)
    assert isinstance(run, PriorRun)
    return replace(run, model=replace(run.model, context=12), keep_best=False)


def checked_decoder(steps: int) -> DecoderRun:
    """A decoder for the CLIP above."""
    run = miniature(decoder_small(), steps)
    assert isinstance(run, DecoderRun)
    return run


def reduced(config: NetworkConfig) -> NetworkConfig:
    """A network of the paper's kind, small enough for a processor."""
    match config:
        case ClipConfig():
            return replace(config, image_size=32, vision=TOWER, text=TOWER, vocab_size=400, context=12, embed_dim=DIM)
        case PriorConfig():
            return replace(config, embed_dim=DIM, text_width=16, context=12, tower=TOWER)
        case DecoderConfig():
            unet = replace(
                config.unet, side=16, channels=16, multipliers=(1, 2), num_blocks=1, attention_sides=(8,), head_channels=16, num_groups=4
            )
            return replace(config, unet=unet, text=TOWER, vocab_size=400, context=12, embed_dim=DIM)
        case UpsamplerConfig():
            unet = replace(config.unet, side=32, channels=8, multipliers=(1, 2), num_blocks=1, num_groups=4, condition_width=16)
            return replace(config, low_size=8, unet=unet)
        case CompactDecoderConfig() | CompactUpsamplerConfig():
            return config

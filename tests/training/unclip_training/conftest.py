"""Runs of every stage, small enough to be trained in a test."""

from dataclasses import replace

import pytest

from unclip_diffusion.config import Diffusion
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
)
from unclip_training.config import AnyRun, ClipRun, DecoderRun, JudgeRun, PriorRun, UpsamplerRun
from unclip_training.judging.judge import JudgeConfig
from unclip_training.optim import Optim

DIM, CONTEXT = 16, 12


def _clip_runs(optim: Optim) -> list[AnyRun]:
    tower = TowerConfig(width=16, depth=1, heads=2)
    sizes = {"vision": tower, "text": tower, "vocab_size": 300, "context": CONTEXT, "embed_dim": DIM}
    clip = ClipConfig(image_size=32, patch_size=16, **sizes)  # type: ignore[arg-type]
    judge = JudgeConfig(vocab=300, context=CONTEXT, width=16, depth=1, heads=2, dim=DIM)
    return [
        ClipRun(recipe="clip_small", stage="clip", model=clip, steps=6, batch_size=8, optim=optim, side=32),
        JudgeRun(recipe="judge_small", stage="judge", model=judge, steps=6, batch_size=8, optim=optim, side=128),
    ]


def _upsampler(stage: str, low: int, optim: Optim, diffusion: Diffusion) -> UpsamplerRun:
    unet = UNetConfig(side=low, channels=8, multipliers=(1,), num_blocks=1, num_groups=4, condition_width=16)
    assert stage in ("upsampler_256", "upsampler_1024")
    return UpsamplerRun(
        recipe=f"{stage}_small",
        stage=stage,
        model=CompactUpsamplerConfig(low_size=low, image_size=2 * low, patch=2, unet=unet),
        steps=6,
        batch_size=4,
        optim=optim,
        side=2 * low,
        diffusion=diffusion,
        crop=32,
        degradation="blur",
    )


@pytest.fixture
def small_runs() -> dict[str, AnyRun]:
    """A run of six steps for each stage, by the stage's name."""
    optim, diffusion = Optim(lr=1e-3, warmup=2, ema_decay=0.9), Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(2,))
    prior = PriorConfig(embed_dim=DIM, text_width=16, context=CONTEXT, tower=TowerConfig(width=16, depth=1, heads=2))
    unet = UNetConfig(side=16, channels=16, multipliers=(1,), num_blocks=1, head_channels=8, num_groups=4, condition_width=16)
    decoder = CompactDecoderConfig(image_size=32, patch=2, unet=unet, embed_dim=DIM, text_width=16)
    runs: list[AnyRun] = [
        *_clip_runs(optim),
        PriorRun(
            recipe="prior_small",
            stage="prior",
            model=prior,
            steps=6,
            batch_size=8,
            optim=optim,
            side=128,
            diffusion=replace(diffusion, clip=None),
        ),
        DecoderRun(
            recipe="decoder_small", stage="decoder", model=decoder, steps=6, batch_size=4, optim=optim, side=32, diffusion=diffusion
        ),
        _upsampler("upsampler_256", 32, optim, diffusion),
        _upsampler("upsampler_1024", 64, optim, diffusion),
    ]
    return {run.stage: run for run in runs}

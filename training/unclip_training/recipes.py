"""Runs we stand behind: `tiny` for minutes on two cores, `paper` with the published sizes.

A recipe is a function that gives the whole run; its docstring says where the numbers come from, what it costs and what to expect. The
tiny cascade paints 32 px, then 64, then 128; the paper's 64, 256, 1024. A stage
that is conditioned on CLIP needs the CLIP recipe of its own size.
"""

from collections.abc import Callable

from unclip_diffusion.config import Diffusion
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    EmbeddingRegressorConfig,
    PictureRegressorConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
)
from unclip_models.paper import PAPER_CLIP, PAPER_DECODER, PAPER_PRIOR, PAPER_UPSAMPLER_256, PAPER_UPSAMPLER_1024
from unclip_pairs.errors import UserError
from unclip_training.config import AnyRun, ClipRun, DecoderRun, JudgeRun, Pretraining, PriorRun, UpsamplerRun
from unclip_training.judging.judge import JudgeConfig
from unclip_training.optim import Optim

TINY_DIM = 256
TINY_CONTEXT = 20


def clip_tiny() -> ClipRun:
    """A ResNet with one block per stage on 32 px pictures and a text tower of 2. About 160 s on two cores, 17 passes over 4,200 pairs.

    On 4,000 pairs of five emoji styles, after 13 passes: the right caption among all 4,100 for 0.56 of the pictures; a ViT in as many
    seconds: 0.02.
    """
    towers = TowerConfig(width=16, depth=4, heads=1), TowerConfig(width=128, depth=2, heads=4)
    model = ClipConfig(
        image_size=32,
        patch_size=32,
        vision=towers[0],
        text=towers[1],
        vocab_size=2048,
        context=TINY_CONTEXT,
        embed_dim=TINY_DIM,
        residual_blocks=(1, 1, 1, 1),
    )
    # No average: the batch norms' statistics belong to the latest weights.
    optim = Optim(lr=1.5e-3, warmup=30, betas=(0.9, 0.98), weight_decay=0.05, ema_decay=0.0)
    return ClipRun(recipe="clip_tiny", stage="clip", model=model, steps=290, batch_size=256, optim=optim, side=32, channels_last=True)


def judge_tiny() -> JudgeRun:
    """The evaluation's judge on frozen MobileNetV2 features. About a minute on two cores, much of it for the features."""
    model = JudgeConfig(vocab=2048, context=TINY_CONTEXT, width=96, depth=1, heads=4, dim=128)
    optim = Optim(lr=1e-3, warmup=30, weight_decay=0.1, ema_decay=0.99)
    return JudgeRun(recipe="judge_tiny", stage="judge", model=model, steps=350, batch_size=128, optim=optim, side=128)


def prior_tiny() -> PriorRun:
    """A regressor from the text embedding (60 passes), and 2 blocks of width 128 around it. About 90 s on two cores.

    A wide perceptron and a high rate pay: 1,000 steps at width 4096 leave a whitened squared error of 0.008 on training captions in 35 s,
    2,000 at width 2048 and a third of the rate one of 0.029 in 30 s.
    """
    tower, regressor = TowerConfig(width=128, depth=2, heads=4), EmbeddingRegressorConfig(width=4096, depth=1)
    model = PriorConfig(embed_dim=TINY_DIM, text_width=128, context=TINY_CONTEXT, tower=tower, regressor=regressor)
    return PriorRun(
        recipe="prior_tiny",
        stage="prior",
        model=model,
        steps=500,
        batch_size=64,
        optim=Optim(lr=1e-3, warmup=50, betas=(0.9, 0.96), eps=1e-6, weight_decay=0.06, ema_decay=0.98),
        side=128,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(4,), clip=None),
        drop_text=0.05,
        pretraining=Pretraining(ratio=2.0, batch_size=256, lr=6e-3, noise=0.1),
    )


def decoder_tiny() -> DecoderRun:
    """A regressor from both embeddings (60 passes), and a small U-Net around it (4 passes). 7 minutes on two cores.

    Of 200 training captions, through the prior, the regressor alone hit its own concept in 0.26 at width 2048 and a rate of 2.5e-3
    (4,800 steps, 155 s), in 0.43 at width 8192 and 2e-3 (1,000 steps, 130 s), in 0.60 at 6e-3 with 1,024 components and a better
    prior (1,000 steps, 190 s).
    """
    unet = UNetConfig(side=16, channels=48, multipliers=(1,), num_blocks=1, head_channels=16, num_groups=8, condition_width=256)
    regressor = PictureRegressorConfig(width=8192, depth=1, components=1024)
    model = CompactDecoderConfig(image_size=32, patch=2, unet=unet, embed_dim=TINY_DIM, text_width=128, regressor=regressor)
    return DecoderRun(
        recipe="decoder_tiny",
        stage="decoder",
        model=model,
        steps=1000,
        batch_size=16,
        optim=Optim(lr=1.5e-3, warmup=100, betas=(0.9, 0.99), ema_decay=0.99),
        side=32,
        diffusion=Diffusion(schedule="cosine", prediction="v", sampler="ddim", steps=(2,)),
        channels_last=True,
        times="logit_normal",
        times_mean=-0.5,
        times_std=1.4,
        weighting="detail",
        drop_text=0.1,
        embedding_noise=0.15,
        pretraining=Pretraining(ratio=1.0, batch_size=256, lr=6e-3),
    )


def upsampler_256_tiny() -> UpsamplerRun:
    """The first upsampler, 32 to 64 px, on crops of 32. A minute and a half on two cores."""
    return _tiny_upsampler("upsampler_256_tiny", 32)


def upsampler_1024_tiny() -> UpsamplerRun:
    """The second upsampler, 64 to 128 px, on crops of 32. A minute and a half on two cores."""
    return _tiny_upsampler("upsampler_1024_tiny", 64)


def _tiny_upsampler(recipe: str, low: int) -> UpsamplerRun:
    first = low == 32
    unet = UNetConfig(side=low, channels=32, multipliers=(1,), num_blocks=1, num_groups=8, condition_width=128)
    return UpsamplerRun(
        recipe=recipe,
        stage="upsampler_256" if first else "upsampler_1024",
        model=CompactUpsamplerConfig(low_size=low, image_size=2 * low, patch=2, unet=unet),
        steps=1000,
        batch_size=16,
        optim=Optim(lr=1e-3, warmup=50, ema_decay=0.995),
        side=2 * low,
        diffusion=Diffusion(schedule="cosine" if first else "linear", prediction="x0", sampler="ddim", steps=(6,) if first else (4,)),
        channels_last=True,
        crop=32,
        degradation="blur" if first else "bsr",
        conditioning_noise=0.12 if first else 0.0,
    )


def clip_paper() -> ClipRun:
    """CLIP ViT-H/16 (appendix C; batch, epochs and betas: Radford et al., 2021): 650M pairs, 32 epochs.

    Differs: AdamW without SAM, linear decay for cosine. Thousands of GPU-days; the paper's zero-shot accuracy is not published.
    """
    optim = Optim(lr=3e-4, warmup=2000, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, ema_decay=0.9999)
    return ClipRun(
        recipe="clip_paper",
        stage="clip",
        model=PAPER_CLIP,
        steps=635_000,
        batch_size=32_768,
        optim=optim,
        side=256,
        precision="bf16",
        sample_every=5000,
    )


def prior_paper() -> PriorRun:
    """The diffusion prior of table 3: 1B parameters, 600K steps of 4,096. About 135 H100-days by arithmetic; the paper's FID is 10.39."""
    return PriorRun(
        recipe="prior_paper",
        stage="prior",
        model=PAPER_PRIOR,
        steps=600_000,
        batch_size=4096,
        optim=Optim(lr=1.1e-4, warmup=1000, final_share=1.0, betas=(0.9, 0.96), eps=1e-6, weight_decay=6.0e-2, ema_decay=0.9999),
        side=256,
        precision="bf16",
        sample_every=5000,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddpm", steps=(64,), clip=None),
        fit_stats=False,
        analytic=True,
    )


def decoder_paper() -> DecoderRun:
    """The 64 px decoder of table 3: 3.5B parameters, 800K steps of 2,048; embedding dropped in 10 %, caption in 50 % (section 2.1)."""
    return DecoderRun(
        recipe="decoder_paper",
        stage="decoder",
        model=PAPER_DECODER,
        steps=800_000,
        batch_size=2048,
        optim=Optim(lr=1.2e-4, warmup=1000, final_share=1.0, ema_decay=0.9999),
        side=64,
        precision="bf16",
        channels_last=True,
        sample_every=5000,
        diffusion=Diffusion(schedule="cosine", prediction="eps", sampler="ddpm_learned", steps=(250,)),
        fit_stats=False,
    )


def upsampler_256_paper() -> UpsamplerRun:
    """The 64 to 256 px upsampler of table 3: 700M parameters, 1M steps of 1,024 crops of 64; blurred conditioning, 27 DDIM steps."""
    return UpsamplerRun(
        recipe="upsampler_256_paper",
        stage="upsampler_256",
        model=PAPER_UPSAMPLER_256,
        steps=1_000_000,
        batch_size=1024,
        optim=Optim(lr=1.2e-4, warmup=1000, final_share=1.0, ema_decay=0.9999),
        side=256,
        precision="bf16",
        channels_last=True,
        sample_every=5000,
        diffusion=Diffusion(schedule="cosine", prediction="eps", sampler="ddim", steps=(10, 10, 3, 2, 2)),
        crop=64,
        degradation="blur",
    )


def upsampler_1024_paper() -> UpsamplerRun:
    """The 256 to 1024 px upsampler of table 3: 300M parameters, 1M steps of 512 crops of 256; BSR-degraded conditioning, 15 DDIM steps."""
    return UpsamplerRun(
        recipe="upsampler_1024_paper",
        stage="upsampler_1024",
        model=PAPER_UPSAMPLER_1024,
        steps=1_000_000,
        batch_size=512,
        optim=Optim(lr=1.0e-4, warmup=1000, final_share=1.0, ema_decay=0.9999),
        side=1024,
        precision="bf16",
        channels_last=True,
        sample_every=5000,
        diffusion=Diffusion(schedule="linear", prediction="eps", sampler="ddim", steps=(15,)),
        crop=256,
        degradation="bsr",
        degraded_share=1.0,
    )


RECIPES: dict[str, Callable[[], AnyRun]] = {
    recipe.__name__: recipe
    for recipe in (
        clip_tiny,
        judge_tiny,
        prior_tiny,
        decoder_tiny,
        upsampler_256_tiny,
        upsampler_1024_tiny,
        clip_paper,
        prior_paper,
        decoder_paper,
        upsampler_256_paper,
        upsampler_1024_paper,
    )
}


def recipe_named(name: str) -> AnyRun:
    """The run of the recipe of that name; `UserError` when there is none."""
    if name not in RECIPES:
        raise UserError(f"recipe {name!r} is unknown; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()

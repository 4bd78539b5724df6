"""Runs we stand behind: `tiny` for minutes on two cores, `paper` with the published sizes.

A recipe is a function that gives the whole run; its docstring says where the numbers come from, what it costs and what to expect. The
tiny cascade paints 16 px, then 64, then 128; the paper's 64, 256, 1024. A stage
that is conditioned on CLIP needs the CLIP recipe of its own size.
"""

from collections.abc import Callable

from unclip_diffusion.config import Diffusion
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
)
from unclip_models.paper import PAPER_CLIP, PAPER_DECODER, PAPER_PRIOR, PAPER_UPSAMPLER_256, PAPER_UPSAMPLER_1024
from unclip_pairs.errors import UserError
from unclip_training.config import AnyRun, ClipRun, DecoderRun, JudgeRun, PriorRun, UpsamplerRun
from unclip_training.judging.judge import JudgeConfig
from unclip_training.optim import Optim

TINY_DIM = 256
TINY_CONTEXT = 32
WORD_VOCABULARY = 32_003  # of the pretrained word vectors, with three marks


def clip_tiny() -> ClipRun:
    """Locked-image tuning: pictures through a frozen EfficientNet-lite0, captions through frozen word vectors and 2 blocks that learn.

    About 90 s on two cores, half of it for the pictures' features, which are computed once.
    """
    text = TowerConfig(width=192, depth=2, heads=6)
    model = ClipConfig(
        image_size=128,
        patch_size=128,
        vision=TowerConfig(width=64, depth=1, heads=1),
        text=text,
        vocab_size=WORD_VOCABULARY,
        context=TINY_CONTEXT,
        embed_dim=TINY_DIM,
        locked=True,
        word_width=128,
    )
    optim = Optim(lr=1e-3, warmup=30, betas=(0.9, 0.98), weight_decay=0.1, ema_decay=0.98)
    return ClipRun(recipe="clip_tiny", stage="clip", model=model, steps=500, batch_size=192, optim=optim, side=128)


def judge_tiny() -> JudgeRun:
    """The evaluation's judge on frozen MobileNetV2 features. About a minute on two cores, much of it for the features."""
    model = JudgeConfig(vocab=2048, context=TINY_CONTEXT, width=96, depth=1, heads=4, dim=128)
    optim = Optim(lr=1e-3, warmup=30, weight_decay=0.1, ema_decay=0.99)
    return JudgeRun(recipe="judge_tiny", stage="judge", model=model, steps=350, batch_size=128, optim=optim, side=128)


def prior_tiny() -> PriorRun:
    """2 blocks of width 256 beside a linear path from the text embedding. About a minute on two cores.

    What a word does to the mean embedding adds up in the linear path, so combinations that were never seen come out right.
    """
    tower = TowerConfig(width=256, depth=2, heads=4)
    model = PriorConfig(embed_dim=TINY_DIM, text_width=192, context=TINY_CONTEXT, tower=tower, dropout=0.1, linear_path=True)
    return PriorRun(
        recipe="prior_tiny",
        stage="prior",
        model=model,
        steps=700,
        batch_size=128,
        optim=Optim(lr=1e-3, warmup=50, betas=(0.9, 0.96), eps=1e-6, weight_decay=0.06, ema_decay=0.99),
        side=128,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(16,), eta=0.0, clip=None),
        times="logit_normal",
        times_std=1.2,
        drop_text=0.1,
    )


def decoder_tiny() -> DecoderRun:
    """From the embedding to 16 px: a U-Net on 8 x 8 places of folded pixels that predicts x_0. About 6 minutes on two cores."""
    unet = UNetConfig(side=8, channels=64, multipliers=(1, 2), num_blocks=1, num_groups=8, head_channels=16, condition_width=256)
    model = CompactDecoderConfig(image_size=16, patch=2, unet=unet, embed_dim=TINY_DIM)
    return DecoderRun(
        recipe="decoder_tiny",
        stage="decoder",
        model=model,
        steps=4000,
        batch_size=32,
        optim=Optim(lr=1.5e-3, warmup=150, betas=(0.9, 0.99), weight_decay=0.01, ema_decay=0.999),
        side=16,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(25,)),
        channels_last=True,
        times="logit_normal",
        times_mean=-0.2,
        times_std=1.2,
        weighting="velocity",
        embedding_noise=0.15,
    )


def upsampler_256_tiny() -> UpsamplerRun:
    """The first upsampler, 16 to 64 px, on whole pictures folded to 16 x 16. Two minutes and a half on two cores."""
    unet = UNetConfig(side=16, channels=48, multipliers=(1, 2), num_blocks=1, num_groups=8, condition_width=192)
    return UpsamplerRun(
        recipe="upsampler_256_tiny",
        stage="upsampler_256",
        model=CompactUpsamplerConfig(low_size=16, image_size=64, patch=4, unet=unet, embed_dim=TINY_DIM),
        steps=1500,
        batch_size=16,
        optim=Optim(lr=1.5e-3, warmup=50, betas=(0.9, 0.99), ema_decay=0.998),
        side=64,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(10,)),
        channels_last=True,
        crop=64,
        degradation="blur",
        conditioning_noise=0.2,
        weighting="velocity",
    )


def upsampler_1024_tiny() -> UpsamplerRun:
    """The second upsampler, 64 to 128 px, on crops of 64. It is told the embedding. A minute on two cores."""
    unet = UNetConfig(side=32, channels=48, multipliers=(1,), num_blocks=1, num_groups=8, condition_width=192)
    return UpsamplerRun(
        recipe="upsampler_1024_tiny",
        stage="upsampler_1024",
        model=CompactUpsamplerConfig(low_size=64, image_size=128, patch=4, unet=unet, embed_dim=TINY_DIM),
        steps=900,
        batch_size=16,
        optim=Optim(lr=1.5e-3, warmup=50, betas=(0.9, 0.99), ema_decay=0.995),
        side=128,
        diffusion=Diffusion(schedule="linear", prediction="x0", sampler="ddim", steps=(5,)),
        channels_last=True,
        crop=64,
        degradation="bsr",
        conditioning_noise=0.05,
        weighting="velocity",
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

"""Tiny recipes: minutes on two CPU cores. The cascade paints 16 px, then 64, then 128."""

from unclip_diffusion.config import Diffusion
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
)
from unclip_training.config import ClipRun, DecoderRun, JudgeRun, PriorRun, UpsamplerRun
from unclip_training.judging.judge import JudgeConfig
from unclip_training.optim import Optim

TINY_DIM = 256
TINY_CONTEXT = 32
WORD_VOCABULARY = 32_003  # of the pretrained word vectors, with three marks


def clip_tiny() -> ClipRun:
    """Locked-image tuning: pictures through a frozen EfficientNet-lite0, captions through frozen word vectors and 2 blocks that learn.

    Two and a half minutes on two cores, a third of it for the pictures' features, which are computed once.
    """
    text = TowerConfig(width=128, depth=2, heads=4)
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
    return ClipRun(recipe="clip_tiny", stage="clip", model=model, steps=450, batch_size=192, optim=optim, side=128)


def judge_tiny() -> JudgeRun:
    """The evaluation's judge on frozen MobileNetV2 features. About a minute on two cores, much of it for the features."""
    model = JudgeConfig(vocab=2048, context=TINY_CONTEXT, width=96, depth=1, heads=4, dim=128)
    optim = Optim(lr=1e-3, warmup=30, weight_decay=0.1, ema_decay=0.99)
    return JudgeRun(recipe="judge_tiny", stage="judge", model=model, steps=350, batch_size=128, optim=optim, side=128)


def prior_tiny() -> PriorRun:
    """2 blocks of width 128 beside a linear path from the text embedding. About a minute on two cores.

    What a word does to the mean embedding adds up in the linear path, so it holds for combinations that were never seen.
    """
    tower = TowerConfig(width=128, depth=2, heads=4)
    model = PriorConfig(embed_dim=TINY_DIM, text_width=128, context=TINY_CONTEXT, tower=tower, dropout=0.1, linear_path=True)
    return PriorRun(
        recipe="prior_tiny",
        stage="prior",
        model=model,
        steps=1200,
        batch_size=128,
        optim=Optim(lr=2e-3, warmup=50, betas=(0.9, 0.96), eps=1e-6, weight_decay=0.06, ema_decay=0.99),
        side=128,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(16,), eta=0.0, clip=None),
        times="logit_normal",
        times_std=1.2,
        drop_text=0.1,
    )


def decoder_tiny() -> DecoderRun:
    """From the embedding and the caption to 16 px: a U-Net on 8 x 8 places of folded pixels that predicts x_0. Eight minutes on two cores.

    Two views of each picture stand beside it: of pictures alone, the validation loss stops falling after half as many steps. It is sampled
    with fresh noise at each step, which mends what a step got wrong.
    """
    unet = UNetConfig(side=8, channels=64, multipliers=(1, 2), num_blocks=1, num_groups=8, head_channels=16, condition_width=256)
    model = CompactDecoderConfig(image_size=16, patch=2, unet=unet, embed_dim=TINY_DIM, text_width=128)
    return DecoderRun(
        recipe="decoder_tiny",
        stage="decoder",
        model=model,
        steps=4000,
        batch_size=32,
        optim=Optim(lr=1.5e-3, warmup=150, betas=(0.9, 0.99), weight_decay=0.01, ema_decay=0.999),
        side=16,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(50,), eta=1.0),
        channels_last=True,
        times="logit_normal",
        times_mean=-0.2,
        times_std=1.2,
        weighting="velocity",
        drop_embedding=0.2,
        drop_text=0.3,
        embedding_noise=0.2,
        keep_best=True,
        views=2,
    )


def upsampler_256_tiny() -> UpsamplerRun:
    """The first upsampler, 16 to 64 px, on whole pictures and views of them, folded to 16 x 16. Three minutes on two cores.

    Its times favour noise and its loss is plain: under the velocity weight it paints grain (of 64 validation captions, concept@1 0.11 and
    0.09 in 1 and 4 steps of sampling, against 0.16 and 0.14).
    """
    unet = UNetConfig(side=16, channels=48, multipliers=(1, 2), num_blocks=1, num_groups=8, condition_width=192)
    return UpsamplerRun(
        recipe="upsampler_256_tiny",
        stage="upsampler_256",
        model=CompactUpsamplerConfig(low_size=16, image_size=64, patch=4, unet=unet, embed_dim=TINY_DIM),
        steps=1000,
        batch_size=16,
        optim=Optim(lr=1.5e-3, warmup=50, betas=(0.9, 0.99), ema_decay=0.995),
        side=64,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(2,)),
        channels_last=True,
        crop=64,
        degradation="blur",
        conditioning_noise=0.2,
        times="logit_normal",
        times_mean=1.0,
        times_std=1.2,
        views=2,
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
        diffusion=Diffusion(schedule="linear", prediction="x0", sampler="ddim", steps=(1,)),
        channels_last=True,
        crop=64,
        degradation="bsr",
        conditioning_noise=0.15,
        times="logit_normal",
        times_mean=1.0,
        times_std=1.2,
    )

"""Small recipes: nine minutes on one H100 for all five networks together. The cascade paints 64 px, then 128, then 256.

Sized by arithmetic, for the whole starter corpus with its scenes (about twenty thousand pairs): at 35 % of 989 TFLOP/s in bf16, a step
costs three times the forward pass that `FlopCounterMode` counts, and never less than the 8 to 18 ms in which Python starts its kernels.
The parameters, in bf16, fill 60 MB at most (a test counts them). What works on two cores (`tiny.py`) is taken over: a locked image tower,
a linear path in the prior, x_0 weighted as v, upsamplers told the embedding. None of them has been trained on a GPU yet: `docs/runs.md`.
"""

from unclip_diffusion.config import Diffusion
from unclip_models.config import ClipConfig, CompactDecoderConfig, CompactUpsamplerConfig, PriorConfig, TowerConfig, UNetConfig
from unclip_training.config import ClipRun, DecoderRun, PriorRun, UpsamplerRun
from unclip_training.optim import Optim

SMALL_DIM = 256
SMALL_CONTEXT = 32
TEXT_WIDTH = 192
WORD_VOCABULARY = 32_003  # of the pretrained word vectors, with three marks


def clip_small() -> ClipRun:
    """Locked-image tuning, as `clip_tiny`, on ten times as many captions. 9.6M numbers, 4.3M of which learn.

    0.2 GFLOP a caption, 0.2 TFLOP a step: the kernels' start bounds it, 2,500 steps of 1,024 in about 40 s.
    """
    model = ClipConfig(
        image_size=128,
        patch_size=128,
        vision=TowerConfig(width=64, depth=1, heads=1),
        text=TowerConfig(width=TEXT_WIDTH, depth=2, heads=6),
        vocab_size=WORD_VOCABULARY,
        context=SMALL_CONTEXT,
        embed_dim=SMALL_DIM,
        locked=True,
        word_width=128,
    )
    optim = Optim(lr=1.5e-3, warmup=100, betas=(0.9, 0.98), weight_decay=0.1, ema_decay=0.995)
    return ClipRun(
        recipe="clip_small",
        stage="clip",
        model=model,
        steps=2500,
        batch_size=1024,
        optim=optim,
        side=128,
        validation_pairs=1024,
        keep_best=True,
    )


def prior_small() -> PriorRun:
    """4 blocks of width 256 beside the linear path, 3.6M parameters. 0.7 GFLOP a pair: 3,000 steps of 1,024 in about 60 s."""
    tower = TowerConfig(width=256, depth=4, heads=4)
    return PriorRun(
        recipe="prior_small",
        stage="prior",
        model=PriorConfig(embed_dim=SMALL_DIM, text_width=TEXT_WIDTH, context=SMALL_CONTEXT, tower=tower, dropout=0.1, linear_path=True),
        steps=3000,
        batch_size=1024,
        optim=Optim(lr=1e-3, warmup=100, betas=(0.9, 0.96), eps=1e-6, weight_decay=0.06, ema_decay=0.998),
        side=128,
        sample_every=1500,
        validation_pairs=1024,
        keep_best=True,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(24,), clip=None),
        times="logit_normal",
        times_std=1.2,
    )


def decoder_small() -> DecoderRun:
    """From the embedding to 64 px, on 32 x 32 places of folded pixels, with attention at 8 x 8. 12M parameters.

    16 GFLOP a picture, 4.2 TFLOP a step of 256 pictures, 12 ms: 20,000 steps, five million pictures, in about 260 s.
    """
    unet = UNetConfig(
        side=32, channels=96, multipliers=(1, 2, 2), num_blocks=1, attention_sides=(8,), head_channels=64, condition_width=256
    )
    return DecoderRun(
        recipe="decoder_small",
        stage="decoder",
        model=CompactDecoderConfig(image_size=64, patch=2, unet=unet, embed_dim=SMALL_DIM, map_side=4),
        steps=20_000,
        batch_size=256,
        optim=Optim(lr=8e-4, warmup=500, betas=(0.9, 0.99), weight_decay=0.01, ema_decay=0.9995),
        side=64,
        channels_last=True,
        compiled=True,
        sample_every=5000,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(40,)),
        times="logit_normal",
        times_mean=-0.3,
        times_std=1.2,
        weighting="velocity",
        embedding_noise=0.1,
    )


def upsampler_256_small() -> UpsamplerRun:
    """The first upsampler, 64 to 128 px, told the embedding, on whole pictures folded to 32 x 32. 1.6M parameters.

    7 GFLOP a picture, 1.8 TFLOP a step of 256: 12,000 steps in about 110 s.
    """
    unet = UNetConfig(side=32, channels=96, multipliers=(1,), num_blocks=1, condition_width=256)
    return UpsamplerRun(
        recipe="upsampler_256_small",
        stage="upsampler_256",
        model=CompactUpsamplerConfig(low_size=64, image_size=128, patch=4, unet=unet, embed_dim=SMALL_DIM),
        steps=12_000,
        batch_size=256,
        optim=Optim(lr=1e-3, warmup=200, betas=(0.9, 0.99), ema_decay=0.999),
        side=128,
        channels_last=True,
        compiled=True,
        sample_every=4000,
        diffusion=Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(12,)),
        crop=128,
        degradation="blur",
        conditioning_noise=0.1,
        weighting="velocity",
    )


def upsampler_1024_small() -> UpsamplerRun:
    """The second upsampler, 128 to 256 px, told the embedding, on crops of 128. 0.9M parameters.

    3.3 GFLOP a crop: 10,000 steps of 256 in about 70 s. Blurred conditions, because the noise of BSR is drawn on the processor.
    """
    unet = UNetConfig(side=64, channels=64, multipliers=(1,), num_blocks=1, condition_width=256)
    return UpsamplerRun(
        recipe="upsampler_1024_small",
        stage="upsampler_1024",
        model=CompactUpsamplerConfig(low_size=128, image_size=256, patch=4, unet=unet, embed_dim=SMALL_DIM),
        steps=10_000,
        batch_size=256,
        optim=Optim(lr=1e-3, warmup=200, betas=(0.9, 0.99), ema_decay=0.999),
        side=256,
        channels_last=True,
        compiled=True,
        sample_every=4000,
        diffusion=Diffusion(schedule="linear", prediction="x0", sampler="ddim", steps=(6,)),
        crop=128,
        degradation="blur",
        conditioning_noise=0.05,
        weighting="velocity",
    )

"""Paper recipes: the published sizes (Ramesh et al., 2022). The cascade paints 64 px, then 256, then 1024."""

from unclip_diffusion.config import Diffusion
from unclip_models.paper import PAPER_CLIP, PAPER_DECODER, PAPER_PRIOR, PAPER_UPSAMPLER_256, PAPER_UPSAMPLER_1024
from unclip_training.config import ClipRun, DecoderRun, PriorRun, UpsamplerRun
from unclip_training.optim import Optim


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

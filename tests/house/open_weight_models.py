"""Stand-ins for models that others have trained: diffusers' true classes with small random weights, saved as their makers save them."""

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

WIDTH, CROSS, TIME = 32, 40, 128
CARD = "---\nlicense: creativeml-openrail-m\n---\n# A stand-in\n"
LICENCE = "A licence for tests\n\nYou may do with these random numbers what you like.\n"


def libraries() -> tuple[ModuleType, ModuleType]:
    """diffusers and transformers, without what they say of their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        for library, name in ((diffusers, "UnCLIPPipeline"), (diffusers, "KandinskyV22PriorPipeline"), (transformers, "CLIPTokenizer")):
            getattr(library, name)  # imported by this, and quietly
        diffusers.utils.logging.set_verbosity_error()
        return diffusers, transformers


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer that knows the letters, and no words."""
    _, transformers = libraries()
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def _clip(folder: Path) -> dict[str, Any]:
    """The CLIP that both families read with."""
    _, transformers = libraries()
    words = tokenizer(folder / "words")
    shared = {"hidden_size": WIDTH, "projection_dim": WIDTH, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    text = transformers.CLIPTextConfig(
        **shared, vocab_size=len(words), bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id
    )
    return {
        "tokenizer": words,
        "text_encoder": transformers.CLIPTextModelWithProjection(text).eval(),
        "image_encoder": transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**shared, image_size=32, patch_size=8)
        ).eval(),
        "processor": transformers.CLIPImageProcessor(crop_size=32, size=32),
    }


def _prior(diffusers: ModuleType) -> Any:
    return diffusers.PriorTransformer(num_attention_heads=2, attention_head_dim=12, embedding_dim=WIDTH, num_layers=1).eval()


def _prior_scheduler(diffusers: ModuleType) -> Any:
    return diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0)


def _unet(diffusers: ModuleType, **more: Any) -> Any:
    blocks = {
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    }
    sizes = {"block_out_channels": (WIDTH, 2 * WIDTH), "layers_per_block": 1, "attention_head_dim": 4, "cross_attention_dim": CROSS}
    return diffusers.UNet2DConditionModel(**blocks, **sizes, resnet_time_scale_shift="scale_shift", **more).eval()


def karlo(folder: Path) -> tuple[Any, Any]:
    """Karlo's two pipelines over the same networks, 16 px and then 32."""
    diffusers, _ = libraries()
    clip = _clip(folder)
    projection = sys.modules[diffusers.UnCLIPPipeline.__module__].UnCLIPTextProjModel  # type: ignore[attr-defined]
    blocks = {"down_block_types": ("ResnetDownsampleBlock2D",) * 2, "up_block_types": ("ResnetUpsampleBlock2D",) * 2}

    def upsampler() -> Any:
        return diffusers.UNet2DModel(
            sample_size=32, in_channels=6, out_channels=3, layers_per_block=1, block_out_channels=(WIDTH, 2 * WIDTH), **blocks
        ).eval()

    decoder = {
        "decoder": _unet(diffusers, sample_size=16, in_channels=3, out_channels=6, class_embed_type="identity"),
        "text_encoder": clip["text_encoder"],
        "tokenizer": clip["tokenizer"],
        "text_proj": projection(clip_embeddings_dim=WIDTH, time_embed_dim=TIME, cross_attention_dim=CROSS).eval(),
        "super_res_first": upsampler(),
        "super_res_last": upsampler(),
        "decoder_scheduler": diffusers.UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        "super_res_scheduler": diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"),
    }
    painted = diffusers.UnCLIPPipeline(**decoder, prior=_prior(diffusers), prior_scheduler=_prior_scheduler(diffusers))
    varied = diffusers.UnCLIPImageVariationPipeline(**decoder, feature_extractor=clip["processor"], image_encoder=clip["image_encoder"])
    return painted, varied


def kandinsky(folder: Path) -> tuple[Any, Any, Any]:
    """Kandinsky 2.2's prior, decoder and inpainting decoder; the decoders paint at 16 px and more."""
    diffusers, _ = libraries()
    clip = _clip(folder)
    conditioning = {"addition_embed_type": "image", "encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "image_proj", "sample_size": 8}
    movq = diffusers.VQModel(
        block_out_channels=[WIDTH, 2 * WIDTH],
        down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    ).eval()

    def decoder(name: str, in_channels: int) -> Any:
        scheduler = diffusers.DDPMScheduler(
            beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, prediction_type="epsilon"
        )
        unet = _unet(diffusers, in_channels=in_channels, out_channels=8, **conditioning)
        return getattr(diffusers, name)(unet=unet, scheduler=scheduler, movq=movq)

    prior = diffusers.KandinskyV22PriorPipeline(
        prior=_prior(diffusers),
        image_encoder=clip["image_encoder"],
        text_encoder=clip["text_encoder"],
        tokenizer=clip["tokenizer"],
        scheduler=_prior_scheduler(diffusers),
        image_processor=clip["processor"],
    )
    return prior, decoder("KandinskyV22Pipeline", 4), decoder("KandinskyV22InpaintPipeline", 9)


def saved(root: Path) -> dict[str, tuple[Path, Any]]:
    """Both families under `root`, as the fixture `open_weights` gives them."""
    import torch

    torch.manual_seed(0)
    text, varied = karlo(root / "karlo-words")
    prior, decoder, inpaint = kandinsky(root / "kandinsky-words")
    pipelines = {"karlo": text, "varied": varied, "prior": prior, "decoder": decoder, "inpaint": inpaint}
    return {name: (save(pipeline, root / name), pipeline) for name, pipeline in pipelines.items()}


def save(pipeline: Any, folder: Path) -> Path:
    """Saves as the makers do: safetensors, `model_index.json`, card and licence; gives the folder."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(str(folder))
    (folder / "README.md").write_text(CARD)
    (folder / "LICENSE").write_text(LICENCE)
    return folder

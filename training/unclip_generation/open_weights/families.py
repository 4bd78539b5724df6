"""Families of the unCLIP kind in diffusers' format: the pipelines of each, their parts, and the files of each part.

These tables are the allow-list: what is not named here is not read, whatever a `model_index.json` says.
"""

from dataclasses import dataclass

LIBRARIES = ("diffusers", "transformers", "unclip", "deprecated")  # the last two are rooms of diffusers where the Karlo classes live
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class PartKind:
    """One kind of part: the classes that may be named for it, the files it must have and may have, and the stem of its weights.

    Of several classes the first one is loaded, unless `is_chosen`: they read the same files.
    """

    classes: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    stem: str = ""
    is_chosen: bool = False

    def loaded(self, named: str) -> str:
        """The class that is loaded when a folder names that one."""
        return named if self.is_chosen else self.classes[0]


def _network(name: str) -> PartKind:
    return PartKind((name,), ("config.json",), stem="diffusion_pytorch_model")


def _encoder(name: str) -> PartKind:
    return PartKind((name,), ("config.json",), stem="model")


_SCHEDULER = ("scheduler_config.json",)
_UNCLIP_SCHEDULER = PartKind(("UnCLIPScheduler",), _SCHEDULER)
_LATENT_SCHEDULER = PartKind(("DDPMScheduler", "DDIMScheduler"), _SCHEDULER, is_chosen=True)
_TOKENIZER = PartKind(
    ("CLIPTokenizer", "CLIPTokenizerFast"),
    ("vocab.json", "merges.txt"),
    ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"),
)
_PROCESSOR = PartKind(("CLIPImageProcessor", "CLIPFeatureExtractor", "CLIPImageProcessorFast"), ("preprocessor_config.json",))
_TEXT, _VISION = _encoder("CLIPTextModelWithProjection"), _encoder("CLIPVisionModelWithProjection")
_PRIOR, _CONDITIONED, _PLAIN = _network("PriorTransformer"), _network("UNet2DConditionModel"), _network("UNet2DModel")

_KARLO_DECODER = {
    "decoder": _CONDITIONED,
    "text_encoder": _TEXT,
    "tokenizer": _TOKENIZER,
    "text_proj": _network("UnCLIPTextProjModel"),
    "super_res_first": _PLAIN,
    "super_res_last": _PLAIN,
    "decoder_scheduler": _UNCLIP_SCHEDULER,
    "super_res_scheduler": _UNCLIP_SCHEDULER,
}
KARLO_EYES = {"feature_extractor": _PROCESSOR, "image_encoder": _VISION}
_KANDINSKY_DECODER = {"unet": _CONDITIONED, "scheduler": _LATENT_SCHEDULER, "movq": _network("VQModel")}

PIPELINES: dict[str, dict[str, PartKind]] = {
    "UnCLIPPipeline": {"prior": _PRIOR, **_KARLO_DECODER, "prior_scheduler": _UNCLIP_SCHEDULER},
    "UnCLIPImageVariationPipeline": {**_KARLO_DECODER, **KARLO_EYES},
    "KandinskyV22PriorPipeline": {
        "prior": _PRIOR,
        "image_encoder": _VISION,
        "text_encoder": _TEXT,
        "tokenizer": _TOKENIZER,
        "scheduler": _UNCLIP_SCHEDULER,
        "image_processor": _PROCESSOR,
    },
    "KandinskyV22Pipeline": _KANDINSKY_DECODER,
    "KandinskyV22InpaintPipeline": _KANDINSKY_DECODER,
}
"""By the class of a pipeline, its parts by name."""


@dataclass(frozen=True)
class Family:
    """A family: the pipelines that painting needs, those that it may have beside them, and diffusers' own numbers for sampling."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]
    prior_steps: int
    decoder_steps: int
    upsampler_steps: int
    prior_guidance: float
    decoder_guidance: float


FAMILIES = {
    "karlo": Family(("UnCLIPPipeline",), ("UnCLIPImageVariationPipeline",), 25, 25, 7, 4.0, 8.0),
    "kandinsky-2.2": Family(("KandinskyV22PriorPipeline", "KandinskyV22Pipeline"), ("KandinskyV22InpaintPipeline",), 25, 100, 0, 4.0, 4.0),
}


def family_of(pipelines: set[str]) -> str | None:
    """The family to which these pipelines belong and which they complete, or None."""
    return next((name for name, one in FAMILIES.items() if set(one.needed) <= pipelines <= {*one.needed, *one.optional}), None)

"""Bundle read from its folder: every stage with its diffusion, the tokenizer, and the check that they belong together.

`bundle.json` names the files: `{"format": 1, "tokenizer": ..., "clip": ..., "prior": ..., "decoder": ..., "upsamplers": [...]}`
and, where the evaluation has chosen it, `"guidance": {"prior": 1.0, "decoder": 1.25}`. Other keys are
for those who keep records and are not read here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from unclip_diffusion.config import Diffusion
from unclip_models.checkpoint import load, read_extra
from unclip_models.clip import Clip
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.decoder import Decoder
from unclip_models.prior import Prior
from unclip_models.text import Tokenizer
from unclip_models.upsampler import CompactUpsampler, Upsampler
from unclip_pairs.errors import UserError

FORMAT = 1
AnyDecoder = Decoder | CompactDecoder
AnyUpsampler = Upsampler | CompactUpsampler
Network = TypeVar("Network", bound=nn.Module, covariant=True)
Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True)
class Guidance:
    """Scales of classifier-free guidance; 1 is none. The paper's best FID guides the decoder by 1.25."""

    prior: float = 1.0
    decoder: float = 1.0


@dataclass(frozen=True)
class DiffusionModel(Generic[Network]):
    """A network and what its numbers mean."""

    network: Network
    diffusion: Diffusion


@dataclass(frozen=True)
class Bundle:
    """Everything the generator needs, on one device."""

    tokenizer: Tokenizer
    clip: Clip
    prior: DiffusionModel[Prior]
    decoder: DiffusionModel[AnyDecoder]
    upsamplers: tuple[DiffusionModel[AnyUpsampler], ...]
    guidance: Guidance

    def __post_init__(self) -> None:
        if problem := _disagreement(self):
            raise UserError(f"The stages of the bundle do not belong together: {problem}; build it from stages trained with the same CLIP.")


def read_bundle(folder: Path, device: torch.device | str = "cpu") -> Bundle:
    """The bundle in `folder`, in float32. `UserError` when a file is missing, broken, of another kind or does not fit the others."""
    listing = _stages(folder / "bundle.json")
    names = listing["upsamplers"]
    return Bundle(
        tokenizer=Tokenizer.load(_file(folder, listing["tokenizer"])),
        clip=_network(_file(folder, listing["clip"]), (Clip,), device),
        prior=_stage(_file(folder, listing["prior"]), (Prior,), device),
        decoder=_stage(_file(folder, listing["decoder"]), (Decoder, CompactDecoder), device),
        upsamplers=tuple(_stage(_file(folder, name), (Upsampler, CompactUpsampler), device) for name in names),
        guidance=_guidance(listing.get("guidance", {})),
    )


def read_listing(path: Path) -> dict[str, Any]:
    """The content of a `bundle.json`, of whatever kind; `UserError` when it cannot be read or is of another format."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"The bundle file {path} cannot be read ({error}); name a folder that holds a whole bundle.") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UserError(f"The bundle file {path} is not of format {FORMAT}; use the version of unclip that wrote it.")
    return value


def _stages(path: Path) -> dict[str, Any]:
    value = read_listing(path)
    if missing := [key for key in ("tokenizer", "clip", "prior", "decoder", "upsamplers") if key not in value]:
        raise UserError(f"The bundle file {path} names no {missing[0]}; release the bundle again.")
    return value


def _file(folder: Path, name: object) -> Path:
    """A file directly in the folder: a listing from elsewhere must not reach out of it."""
    if not isinstance(name, str) or Path(name).name != name:
        raise UserError(f"The bundle names the file {name!r}, which is not a plain name in its folder; release the bundle again.")
    return folder / name


def _guidance(value: object) -> Guidance:
    try:
        return Guidance(**value) if isinstance(value, dict) else Guidance()
    except TypeError as error:
        raise UserError(f"The bundle's guidance {value} must hold prior and decoder only; release the bundle again.") from error


def _network(path: Path, kinds: tuple[type[Kind], ...], device: torch.device | str) -> Kind:
    network, config = load(path)
    if not isinstance(network, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"The weights file {path} holds a {type(config).__name__} where a {wanted} belongs; release the bundle again.")
    return network.float().to(device)


def _stage(path: Path, kinds: tuple[type[Kind], ...], device: torch.device | str) -> DiffusionModel[Kind]:
    network, extra = _network(path, kinds, device), read_extra(path)
    if "diffusion" not in extra:
        raise UserError(f"The weights file {path} does not say how to sample from it; train the stage again.")
    return DiffusionModel(network, Diffusion.from_json(extra["diffusion"]))


def _disagreement(bundle: Bundle) -> str | None:
    """The first pair of numbers that should be equal and are not, in words."""
    clip, prior, decoder = bundle.clip.config, bundle.prior.network.config, bundle.decoder.network.config
    pairs = {
        # few captions make fewer words than CLIP has room for, which does no harm
        "vocab_size of tokenizer and CLIP": (max(bundle.tokenizer.vocab_size, clip.vocab_size), clip.vocab_size),
        "context of tokenizer and CLIP": (bundle.tokenizer.context, clip.context),
        "embed_dim of CLIP and prior": (clip.embed_dim, prior.embed_dim),
        "embed_dim of CLIP and decoder": (clip.embed_dim, decoder.embed_dim),
        "context of CLIP and prior": (clip.context, prior.context),
    }
    side = decoder.image_size
    for stage in bundle.upsamplers:
        config = stage.network.config
        pairs[f"input of the upsampler to {config.image_size} and output before it"] = (config.low_size, side)
        side = config.image_size
    return next((f"{name} are {a} and {b}" for name, (a, b) in pairs.items() if a != b), None)

"""Parts of a pipeline, loaded by the classes of our own table from safetensors on this machine, and put together.

`from_pretrained` of a whole pipeline is never called: it would follow names in the folder. diffusers is imported in here only.
"""

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from unclip_generation.open_weights.families import PIPELINES, PartKind
from unclip_generation.open_weights.listing import OpenWeights, Part
from unclip_pairs.errors import UserError

Loaded = Any  # a network, a scheduler, a tokenizer or an image processor of a library that gives no types


@contextlib.contextmanager
def libraries() -> Iterator[tuple[ModuleType, ModuleType]]:
    """diffusers and transformers, quiet, and with no way to a model hub; `UserError` when the extra open-weights is not installed."""
    try:
        import huggingface_hub.constants as hub

        hub.HF_HUB_OFFLINE = True  # what HF_HUB_OFFLINE=1 sets; every loading below asks for local files besides
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own future
            import diffusers
            import transformers

            diffusers.utils.logging.set_verbosity_error()
            transformers.utils.logging.set_verbosity_error()
            transformers.utils.logging.disable_progress_bar()
            diffusers.utils.logging.disable_progress_bar()
            yield diffusers, transformers
    except ModuleNotFoundError as error:
        raise UserError(f"imported weights need {error.name}; install it with pip install 'unclip[open-weights]'") from error


def check_parts(folder: Path, weights: OpenWeights) -> None:
    """Loads every part on the CPU, one after another, and drops it; `UserError` as in `load_part`."""
    kinds = _kinds(weights)
    for name, part in weights.parts().items():
        load_part(folder / name, kinds[name], part)


def load_pipelines(folder: Path, weights: OpenWeights, device: torch.device) -> dict[str, Loaded]:
    """The pipelines by class name, every part loaded once, in float32 and in evaluation mode; `UserError` as in `load_part`."""
    kinds = _kinds(weights)
    with libraries() as (diffusers, _):
        loaded = {name: load_part(folder / name, kinds[name], part, device) for name, part in weights.parts().items()}
        return {name: _assembled(diffusers, name, parts, loaded) for name, parts in weights.pipelines.items()}


def _kinds(weights: OpenWeights) -> dict[str, PartKind]:
    """The kind of the part in each folder."""
    return {part.folder: PIPELINES[name][key] for name, parts in weights.pipelines.items() for key, part in parts.items()}


def _assembled(diffusers: ModuleType, name: str, parts: Mapping[str, Part], loaded: Mapping[str, Loaded]) -> Loaded:
    pipeline = getattr(diffusers, name)(**{key: loaded[part.folder] for key, part in parts.items()})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_part(folder: Path, kind: PartKind, part: Part, device: torch.device | str = "cpu") -> Loaded:
    """One part from its folder. `UserError` when its files do not fit its class, or weights are missing from them."""
    with libraries() as (diffusers, transformers):
        cls = _class(diffusers, transformers, kind.loaded(part.class_name))
        try:
            if not kind.stem:
                return cls.from_pretrained(str(folder), local_files_only=True)
            return _network(cls, folder, is_diffusers=kind.stem != "model").float().to(device)
        except UserError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(f"{folder} cannot be loaded as a {part.class_name} ({reason}); fetch it again and import it anew") from error


def _class(diffusers: ModuleType, transformers: ModuleType, name: str) -> Loaded:
    if name == "UnCLIPTextProjModel":  # it is not exported, and its room was moved once
        return getattr(sys.modules[diffusers.UnCLIPPipeline.__module__], name)
    return getattr(transformers if name.startswith("CLIP") else diffusers, name)


def _network(cls: Loaded, folder: Path, is_diffusers: bool) -> Loaded:
    """The network in evaluation mode. What the files lack would be filled with random numbers, so it is refused."""
    memory = {"low_cpu_mem_usage": False} if is_diffusers else {}
    network, info = cls.from_pretrained(str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True, **memory)
    if lacking := [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]:
        raise UserError(f"the weights in {folder} lack {lacking[0]}, which its config asks for; fetch it again and import it anew")
    return network.eval().requires_grad_(False)

"""Weights on disk: safetensors, with the config that built the network (and what else must travel) in the file's metadata."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unclip_models.build import build
from unclip_models.config import NetworkConfig, from_json, to_json
from unclip_pairs.errors import UserError


def save(path: Path, model: nn.Module, config: NetworkConfig, extra: dict[str, str] | None = None) -> None:
    """Writes weights (as they are, on the CPU) and metadata to `path`. Use `Store.writing` around it for an atomic file."""
    extra = extra or {}
    assert "config" not in extra, "the name config is taken"
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata={"config": json.dumps(to_json(config), sort_keys=True), **extra})


def load(path: Path) -> tuple[nn.Module, NetworkConfig]:
    """The network in evaluation mode, on the CPU, and its config. `UserError` when the file is missing, cut off, or of another kind."""
    config = from_json(_config(path, _metadata(path)))
    with torch.device("meta"):
        shapes = build(config).state_dict()
    tensors = _tensors(path)
    if problem := _mismatch(shapes, tensors):
        raise UserError(f"The weights file {path} does not fit its own config ({problem}); restore the file or train the stage again.")
    model = build(config)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False), config


def read_extra(path: Path) -> dict[str, str]:
    """What was saved beside the config."""
    return {name: value for name, value in _metadata(path).items() if name != "config"}


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"The weights file {path} cannot be read ({str(error).splitlines()[0]}); restore it or train the stage again.")


def _config(path: Path, metadata: dict[str, str]) -> dict[str, object]:
    try:
        value = json.loads(metadata.get("config", ""))
    except json.JSONDecodeError as error:
        raise UserError(f"The weights file {path} carries no config; only files that unclip wrote can be loaded.") from error
    if not isinstance(value, dict):
        raise UserError(f"The weights file {path} carries a config that is no object; only files that unclip wrote can be loaded.")
    return value


def _mismatch(shapes: dict[str, Tensor], tensors: dict[str, Tensor]) -> str | None:
    """The first difference between what the config asks for and what the file holds."""
    if different := sorted(set(shapes) ^ set(tensors)):
        return f"tensor {different[0]} is {'missing' if different[0] in shapes else 'unknown'}"
    for name, wanted in shapes.items():
        if wanted.shape != tensors[name].shape:
            return f"tensor {name} is {tuple(tensors[name].shape)} instead of {tuple(wanted.shape)}"
    return None

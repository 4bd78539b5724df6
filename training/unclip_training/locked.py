"""Locked image tower in a training: its features and its projection are computed once, since the tower never learns."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from unclip_models.efficientnet import NUM_FEATURES, LockedTower
from unclip_pairs.store import Store
from unclip_training.precision import training_device
from unclip_training.progress import Lines
from unclip_training.stages.pixels import to_pixels

LOCKED_SIDE = 128
CHUNK = 64


@torch.inference_mode()
def locked_features(tower: LockedTower, pictures_NHWC: NDArray[np.uint8]) -> Tensor:
    """float32 [N, NUM_FEATURES], where the tower lies, of pictures uint8 [N, 128, 128, 3]; a line now and then says how far it is.

    They are computed where the training will be, for the tower is moved there later.
    """
    home, device = tower.mean_F.device, training_device()
    network, lines = tower.features.to(device).to(memory_format=torch.channels_last), Lines("picture_features", len(pictures_NHWC))
    found = torch.empty(len(pictures_NHWC), NUM_FEATURES)
    for start in range(0, len(pictures_NHWC), CHUNK):
        block = torch.from_numpy(np.array(pictures_NHWC[start : start + CHUNK]))
        found[start : start + len(block)] = network(to_pixels(block.to(device)))
        lines.at(start + len(block), float("nan"))
    network.to(home)
    return found.to(home)


def fitted_once(store: Store, name: str, tower: LockedTower, features_NF: Tensor) -> None:
    """Fits the projection to these features, unless the file `name` holds one already: a resumed training goes on in the same space."""
    if not store.exists(name):
        tower.fit(features_NF)
        with store.writing(name) as part:
            save_file({"mean_F": tower.mean_F, "projection_FD": tower.projection_FD}, str(part))
    fitted = load_file(store.path(name))
    tower.mean_F.copy_(fitted["mean_F"])
    tower.projection_FD.copy_(fitted["projection_FD"])

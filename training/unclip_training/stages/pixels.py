"""Pictures on their way into a network, and out of it again."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unclip_pairs.images import contact_sheet


def to_pixels(pictures_BHWC: Tensor) -> Tensor:
    """float32 [B, 3, H, W] in [-1, 1] of uint8 [B, H, W, 3]; the memory stays channels-last."""
    return pictures_BHWC.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)


def to_images(pixels_B3HW: Tensor) -> list[Image.Image]:
    """RGB pictures of float pixels in [-1, 1]; what lies outside is cut off."""
    levels = pixels_B3HW.detach().float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return [Image.fromarray(np.ascontiguousarray(level.permute(1, 2, 0).cpu().numpy())) for level in levels]


def grid(columns: list[Tensor], tile: int = 96, across: int = 4) -> Image.Image:
    """A sheet of groups side by side: the i-th picture of every column together, `across` groups in a row."""
    groups = list(zip(*(to_images(column) for column in columns), strict=True))
    rows = [[image for group in groups[start : start + across] for image in group] for start in range(0, len(groups), across)]
    return contact_sheet(rows, None, tile)

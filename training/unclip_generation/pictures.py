"""Way between PIL pictures and tensors in [-1, 1]."""

# B batch, C three channels, H W sides

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_pixels(pictures: Sequence[Image.Image], side: int) -> Tensor:
    """RGB pictures, padded to squares with white and resized, as float32 [B, 3, side, side] in [-1, 1]."""
    arrays = [np.asarray(_square(picture, side), dtype=np.float32) for picture in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def to_pictures(pixels_BCHW: Tensor, size: int) -> list[Image.Image]:
    """Tensors in [-1, 1] as RGB pictures of `size` square, by Lanczos where their own size is another."""
    rounded = ((pixels_BCHW.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return resized([Image.fromarray(array) for array in rounded.permute(0, 2, 3, 1).cpu().numpy()], size)


def resized(pictures: Sequence[Image.Image], size: int) -> list[Image.Image]:
    """Square pictures as pictures of `size` square, by Lanczos where their own size is another."""
    return [picture if picture.width == size else picture.resize((size, size), Image.Resampling.LANCZOS) for picture in pictures]


def _square(picture: Image.Image, side: int) -> Image.Image:
    picture = picture.convert("RGB")
    longest = max(picture.size)
    if picture.width != picture.height:
        board = Image.new("RGB", (longest, longest), "white")
        board.paste(picture, ((longest - picture.width) // 2, (longest - picture.height) // 2))
        picture = board
    return picture if longest == side else picture.resize((side, side), Image.Resampling.LANCZOS)

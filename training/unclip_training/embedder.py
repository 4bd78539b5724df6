"""Embedder from a CLIP run folder: a trained CLIP behind the `Embedder` protocol of the data shelf."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unclip_models import checkpoint
from unclip_models.clip import Clip
from unclip_models.config import ClipConfig
from unclip_models.text import Tokenizer
from unclip_pairs.errors import UserError
from unclip_pairs.images import fit_square, to_array
from unclip_pairs.manifest import file_digest
from unclip_training.data.decoded_cache import shrink
from unclip_training.stages.pixels import to_pixels

BATCH = 64


class ClipEmbedder:
    """A CLIP run folder (`weights.safetensors`, `tokenizer.json`) as an embedder; `digest` is that of the weights file."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        path = folder / "weights.safetensors"
        if not path.exists():
            raise UserError(f"{folder} holds no weights.safetensors; train CLIP first, or name another run folder")
        network, config = checkpoint.load(path)
        if not isinstance(network, Clip) or not isinstance(config, ClipConfig):
            raise UserError(f"{path} holds a network that is no CLIP; name a folder under models/clip")
        self.network, self.device = network.eval().requires_grad_(False).to(device), torch.device(device)
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json")
        self.side, self.dim = config.image_size, config.embed_dim
        self.digest = file_digest(path)

    @torch.inference_mode()
    def pictures(self, batch_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [B, dim] of unit norm, for uint8 pictures [B, H, W, 3] of any one size."""
        blocks = [batch_BHWC[start : start + BATCH] for start in range(0, len(batch_BHWC), BATCH)]
        return _stacked([self.network.encode_image(to_pixels(self._fitted(block).to(self.device))) for block in blocks], self.dim)

    @torch.inference_mode()
    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [B, dim] of unit norm."""
        blocks = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return _stacked([self.network.encode_text(self.tokenizer.encode(block).to(self.device)).embedding_BD for block in blocks], self.dim)

    def _fitted(self, pictures: NDArray[np.uint8]) -> Tensor:
        """The pictures at CLIP's side, shrunk as in training where the sides divide."""
        height, width = pictures.shape[1:3]
        if height == width and height % self.side == 0:
            return torch.from_numpy(np.array(shrink(pictures, self.side)))
        return torch.from_numpy(np.stack([to_array(fit_square(Image.fromarray(picture), self.side)) for picture in pictures]))


def _stacked(parts: list[Tensor], dim: int) -> NDArray[np.float32]:
    return torch.cat(parts).float().cpu().numpy() if parts else np.zeros((0, dim), np.float32)

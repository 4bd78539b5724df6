"""Any open_clip network with a local weights file as an embedder of the data shelf."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from unclip_curation.embeddings.embedding import SIDE, Embedder, Prepare, squares
from unclip_models import towers
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest, settings_digest
from unclip_training.embedder import ClipEmbedder
from unclip_training.precision import Precision, resolved

PREFIX = "open_clip:"
# In float32 eight pictures' activations stay in the processor's cache, and larger blocks were slower on every CPU measured. In bf16 the
# matrix is packed anew for every block, so that larger ones pay.
PICTURES_AT_ONCE = {"float32": 8, "bf16": 32}
CAPTIONS_AT_ONCE = 32


def open_embedder(name: str, precision: Precision = "auto") -> "ClipEmbedder | OpenClipEmbedder":
    """The embedder that a name stands for: `open_clip:MODEL/WEIGHTS` (as clip-retrieval writes it) or the folder of a CLIP run of ours,
    which knows float32 alone.

    `UserError` when there is no such network, file or folder.
    """
    if not name.startswith(PREFIX):
        return ClipEmbedder(Path(name))
    model, _, weights = name.removeprefix(PREFIX).partition("/")
    return OpenClipEmbedder(model, Path(weights), precision)


def load_embedder(name: str, precision: Precision = "auto") -> tuple[Embedder, Prepare]:
    """The embedder of that name and the preparation it asks for, keeping to one core, for workers side by side: every engine then gives the
    same bits. Errors as in `open_embedder`."""
    embedder = open_embedder(name, precision)
    torch.set_num_threads(1)
    return embedder, embedder.prepare if isinstance(embedder, OpenClipEmbedder) else squares(SIDE)


class OpenClipEmbedder:
    """A network by its open_clip name, its weights from a file on this machine; nothing is downloaded.

    `precision` is the number format that layers multiply in; "auto" means bf16 where the processor is fast at it.
    `digest` is that of the name, of the weights file and of the format, so that vectors of two formats never lie in one folder.
    `prepare` is open_clip's own resizing and cropping.
    """

    def __init__(self, model: str, weights: Path, precision: Precision = "auto") -> None:
        import open_clip  # ten seconds, and only this class needs it

        if model not in open_clip.list_models():
            raise UserError(
                f"open_clip has no network {model!r}; name one of `python -c 'import open_clip; print(open_clip.list_models())'`"
            )
        if not weights.is_file():
            raise UserError(f"the weights file {str(weights)!r} does not exist; give {PREFIX}{model}/PATH, with a file on this machine")
        try:
            network, _, preprocess = open_clip.create_model_and_transforms(model, pretrained=str(weights))
        except Exception as error:  # a file of another network, a broken one: each library below raises its own kind
            words = " ".join(str(error).split())[:200]
            raise UserError(
                f"the weights file {weights} does not fit open_clip's {model} ({words}); give the file of that network"
            ) from error
        self.network: Any = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.tokenize, self.steps = open_clip.get_tokenizer(model), cast(Any, preprocess).transforms
        self.mean_C, self.std_C = (torch.tensor(values, dtype=torch.float32) for values in (self.steps[-1].mean, self.steps[-1].std))
        size = network.visual.image_size
        self.side = int(size[0] if isinstance(size, tuple) else size)
        self.precision = resolved(precision)
        if self.precision == "bf16":
            halve(network)
        self.digest = settings_digest([model, file_digest(weights), *(["bf16"] if self.precision == "bf16" else [])])
        self.dim = self.captions(["a picture"]).shape[1]

    def share_cores(self) -> int:
        """Makes every call keep to one core from now on, for calls side by side; gives how many fit. Two calls of one core each are faster
        than one call after the other on two: no thread waits for another at the end of every layer. It holds for torch in this process."""
        torch.set_num_threads(1)
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """uint8 [side, side, 3]: what the network was trained to see, but for the scale of the values."""
        for step in self.steps[:-2]:  # the last two make a float tensor and scale it
            image = step(image)
        return np.asarray(image, dtype=np.uint8)

    @torch.inference_mode()
    def pictures(self, batch_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [B, dim] of unit norm, for prepared pictures."""
        step = PICTURES_AT_ONCE[self.precision]
        blocks = [batch_BHWC[start : start + step] for start in range(0, len(batch_BHWC), step)]
        with self._multiplying():
            parts = [towers.encode_image(self.network, self._scaled(block)) for block in blocks]
        return normalize(torch.cat(parts).float(), dim=-1).numpy()

    @torch.inference_mode()
    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [B, dim] of unit norm. Each text is read once, in the company of texts of its length."""
        tokens_BS: Tensor = self.tokenize(list(texts))
        unique_US, inverse_B = torch.unique(tokens_BS, dim=0, return_inverse=True)
        order_U = unique_US.argmax(dim=1).argsort()
        with self._multiplying():
            parts = [towers.encode_text(self.network, unique_US[rows]) for rows in order_U.split(CAPTIONS_AT_ONCE)]
        found_UD = torch.empty(len(unique_US), parts[0].shape[1])
        found_UD[order_U] = torch.cat(parts).float()
        return normalize(found_UD, dim=-1)[inverse_B].numpy()

    def _multiplying(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16")

    def _scaled(self, pictures_BHWC: NDArray[np.uint8]) -> Tensor:
        pixels_BHWC = torch.from_numpy(pictures_BHWC).float().div_(255).sub_(self.mean_C).div_(self.std_C)
        return pixels_BHWC.permute(0, 3, 1, 2)  # in memory still by pixel, as the first convolution likes it


def halve(network: nn.Module) -> None:
    """Stores in bf16 what autocast multiplies in bf16, so that it is not converted at every call. Sums, norms and the sum that runs past
    the blocks stay float32."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.to(torch.bfloat16)
        elif isinstance(layer, nn.MultiheadAttention):
            for name, weight in layer.named_parameters(recurse=False):  # the output projection is a Linear of its own
                if name.startswith("in_proj"):
                    weight.data = weight.data.bfloat16()

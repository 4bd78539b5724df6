"""Judge: a small two-tower network that scores how well a picture fits a caption, apart from the pipeline's CLIP.

Its picture tower is a frozen ImageNet MobileNetV2 with a trained head; its text tower and its tokenizer are its own. Scoring the
pipeline with the CLIP that it is conditioned on would flatter it (GLIDE, section 5.2).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unclip_models.text import Tokenizer
from unclip_pairs.errors import UserError
from unclip_training.judging.mobilenet import DIM, features

# B batch, S tokens, D width


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The size of the judge."""

    vocab: int
    context: int
    width: int
    depth: int
    heads: int
    dim: int
    dropout: float = 0.1


class Judge(nn.Module):
    """Features of pictures and tokens of captions into one space of `dim` dimensions."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.mean = nn.Buffer(torch.zeros(DIM))
        self.std = nn.Buffer(torch.ones(DIM))
        self.head = nn.Sequential(nn.Linear(DIM, 512), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(512, config.dim))
        self.tokens = nn.Embedding(config.vocab, config.width)
        self.places = nn.Parameter(torch.randn(config.context, config.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, 4 * config.width, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, config.dim))
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def pictures(self, features: Tensor) -> Tensor:
        """Unit vectors [B, dim] of MobileNetV2 features [B, 1280]."""
        return nn.functional.normalize(self.head((features - self.mean) / self.std), dim=-1)

    def captions(self, tokens_BS: Tensor) -> Tensor:
        """Unit vectors [B, dim] of tokens [B, S]; 0 is padding."""
        padding_BS = tokens_BS == 0
        x_BSD = self.blocks(self.tokens(tokens_BS) + self.places[: tokens_BS.shape[1]], src_key_padding_mask=padding_BS)
        kept_BS1 = (~padding_BS).unsqueeze(-1)
        pooled_BD = (x_BSD * kept_BS1).sum(1) / kept_BS1.sum(1).clamp(min=1)
        return nn.functional.normalize(self.out(pooled_BD), dim=-1)


def save_judge(path: Path, judge: Judge) -> None:
    """Writes weights and config as safetensors."""
    save_file(
        {name: value.contiguous() for name, value in judge.state_dict().items()},
        path,
        metadata={"config": json.dumps(asdict(judge.config))},
    )


def load_judge(folder: Path) -> tuple[Judge, Tokenizer]:
    """The judge of a run folder, ready to score, and its tokenizer; `UserError` when it is missing or damaged."""
    path = folder / "weights.safetensors"
    try:
        with safe_open(path, "pt") as file:
            judge = Judge(JudgeConfig(**json.loads(file.metadata()["config"])))
            judge.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (safe_open is no dict)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the judge {path} cannot be read ({type(error).__name__}); train it again with recipe judge_tiny") from error
    return judge.eval(), Tokenizer.load(folder / "tokenizer.json")


@torch.inference_mode()
def scores(judge: Judge, tokenizer: Tokenizer, pictures: NDArray[np.uint8], captions: Sequence[str]) -> NDArray[np.float32]:
    """float32 [B]: the cosine of each picture (uint8 [B, H, W, 3]) and its caption, in [-1, 1]."""
    found = judge.pictures(torch.from_numpy(features(pictures)))
    return (found * judge.captions(tokenizer.encode(captions))).sum(-1).numpy()

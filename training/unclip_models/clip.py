"""CLIP (Radford et al., 2021): two towers behind pictures in [-1, 1] and captions as `Text`."""

# B batch, S tokens, D embedding, W width of the text tower

import math

import torch
from torch import Tensor, nn

from unclip_models.clip_towers import LayerNorm, ModifiedResNet, Transformer, VisionTransformer, causal_mask
from unclip_models.config import ClipConfig
from unclip_models.efficientnet import LockedTower
from unclip_models.text import Text

# What every published CLIP was trained on; kept for our own too, so that a pretrained checkpoint can take its place.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
MAX_LOGIT_SCALE = 100.0


class Towers(nn.Module):
    """The weights of a CLIP, under the names that open_clip gives them."""

    attn_mask: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width = config.text.width
        self.visual = _image_tower(config)
        # built in the order in which open_clip draws its random numbers, registered in the order in which it lists its weights
        token_embedding = (
            WordEmbedding(config.vocab_size, config.word_width, width) if config.word_width else nn.Embedding(config.vocab_size, width)
        )
        self.transformer = Transformer(config.text, config.text.heads)
        self.token_embedding = token_embedding
        self.positional_embedding = nn.Parameter(torch.empty(config.context, width))
        self.ln_final = LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, config.embed_dim))
        self.register_buffer("attn_mask", causal_mask(config.context), persistent=False)
        self.logit_scale = nn.Parameter(torch.full([], math.log(1 / 0.07)))
        self._init_weights(width)

    def _init_weights(self, width: int) -> None:
        if isinstance(self.token_embedding, nn.Embedding):
            nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        self.transformer.init_weights()
        nn.init.normal_(self.text_projection, std=width**-0.5)


def _image_tower(config: ClipConfig) -> ModifiedResNet | VisionTransformer | LockedTower:
    if config.locked:
        return LockedTower(config.embed_dim)
    tower = config.vision
    head_width = tower.width // tower.heads
    if config.residual_blocks:
        heads = tower.width * 32 // head_width
        return ModifiedResNet(tuple(config.residual_blocks), tower.width, heads, config.image_size, config.embed_dim)
    return VisionTransformer(tower, tower.width // head_width, (config.image_size, config.patch_size), config.embed_dim)


class WordEmbedding(nn.Module):
    """Frozen vectors of tokens [vocab_size, word_width], stored as weights, behind a linear layer that learns."""

    table_VT: Tensor

    def __init__(self, vocab_size: int, word_width: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table_VT", torch.randn(vocab_size, word_width))
        self.linear = nn.Linear(word_width, width)

    def forward(self, tokens_BS: Tensor) -> Tensor:
        return self.linear(self.table_VT[tokens_BS])


class Clip(nn.Module):
    """Two towers into one space. Both embeddings come out with unit norm."""

    mean_3: Tensor
    std_3: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.network = Towers(config)
        self.register_buffer("mean_3", torch.tensor(PIXEL_MEAN), persistent=False)
        self.register_buffer("std_3", torch.tensor(PIXEL_STD), persistent=False)

    def encode_image(self, pixels_BCHW: Tensor) -> Tensor:
        """Pictures in [-1, 1] at `image_size` square to unit embeddings [B, D]."""
        if isinstance(self.network.visual, LockedTower):
            return nn.functional.normalize(self.network.visual(pixels_BCHW).float(), dim=-1)
        scaled = ((pixels_BCHW + 1) / 2 - self.mean_3[:, None, None]) / self.std_3[:, None, None]
        return nn.functional.normalize(self.network.visual(scaled).float(), dim=-1)

    def encode_text(self, tokens_BS: Tensor) -> Text:
        """The captions as `Text`. Pooling is at the end token, which has the highest id."""
        network = self.network
        x_BSW = network.token_embedding(tokens_BS) + network.positional_embedding
        features_BSW = network.ln_final(network.transformer(x_BSW, attn_mask=network.attn_mask))
        end_B = tokens_BS.argmax(dim=1)
        pooled_BW = features_BSW[torch.arange(len(tokens_BS), device=tokens_BS.device), end_B]
        embedding_BD = nn.functional.normalize((pooled_BW @ network.text_projection).float(), dim=-1)
        inside_BS = torch.arange(tokens_BS.shape[1], device=tokens_BS.device) <= end_B[:, None]
        return Text(tokens_BS, embedding_BD, features_BSW.float() * inside_BS[..., None])

    def forward(self, pixels_BCHW: Tensor, tokens_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image embeddings [B, D], text embeddings [B, D], and the scale of their dot products, at most 100."""
        return self.encode_image(pixels_BCHW), self.encode_text(tokens_BS).embedding_BD, self.scale()

    def scale(self) -> Tensor:
        """What dot products are multiplied by in the contrastive loss, at most 100."""
        return self.network.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)

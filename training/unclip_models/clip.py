"""CLIP (Radford et al., 2021): open_clip's network behind pictures in [-1, 1] and captions as `Text`."""

# B batch, S tokens, D embedding, W width of the text tower

from typing import Any

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from unclip_models.config import ClipConfig
from unclip_models.text import Text

# What every published CLIP was trained on; kept for our own too, so that a pretrained checkpoint can take its place.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
MAX_LOGIT_SCALE = 100.0


class Clip(nn.Module):
    """Two towers into one space. Both embeddings come out with unit norm."""

    mean_3: Tensor
    std_3: Tensor

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.network = CLIP(config.embed_dim, _vision(config), _text(config))
        self.register_buffer("mean_3", torch.tensor(PIXEL_MEAN), persistent=False)
        self.register_buffer("std_3", torch.tensor(PIXEL_STD), persistent=False)

    def encode_image(self, pixels_BCHW: Tensor) -> Tensor:
        """Pictures in [-1, 1] at `image_size` square to unit embeddings [B, D]."""
        scaled = ((pixels_BCHW + 1) / 2 - self.mean_3[:, None, None]) / self.std_3[:, None, None]
        return nn.functional.normalize(self.network.encode_image(scaled).float(), dim=-1)

    def encode_text(self, tokens_BS: Tensor) -> Text:
        """The captions as `Text`. Pooling is at the end token, which has the highest id."""
        network: Any = self.network  # its parts are assigned from another module, where the types are lost
        x_BSW = network.token_embedding(tokens_BS) + network.positional_embedding
        features_BSW = network.ln_final(network.transformer(x_BSW, attn_mask=network.attn_mask))
        end_B = tokens_BS.argmax(dim=1)
        pooled_BW = features_BSW[torch.arange(len(tokens_BS), device=tokens_BS.device), end_B]
        embedding_BD = nn.functional.normalize((pooled_BW @ network.text_projection).float(), dim=-1)
        inside_BS = torch.arange(tokens_BS.shape[1], device=tokens_BS.device) <= end_B[:, None]
        return Text(tokens_BS, embedding_BD, features_BSW.float() * inside_BS[..., None])

    def forward(self, pixels_BCHW: Tensor, tokens_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image embeddings [B, D], text embeddings [B, D], and the scale of their dot products, at most 100."""
        scale = self.network.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        return self.encode_image(pixels_BCHW), self.encode_text(tokens_BS).embedding_BD, scale


def _vision(config: ClipConfig) -> CLIPVisionCfg:
    tower = config.vision
    return CLIPVisionCfg(
        layers=config.residual_blocks or tower.depth,
        width=tower.width,
        head_width=tower.width // tower.heads,
        mlp_ratio=tower.mlp_ratio,
        patch_size=config.patch_size,
        image_size=config.image_size,
    )


def _text(config: ClipConfig) -> CLIPTextCfg:
    tower = config.text
    return CLIPTextCfg(
        context_length=config.context,
        vocab_size=config.vocab_size,
        width=tower.width,
        heads=tower.heads,
        layers=tower.depth,
        mlp_ratio=tower.mlp_ratio,
    )

"""Decoder of the paper (Ramesh et al., 2022, section 2.1): GLIDE's 64 x 64 U-Net with a CLIP image embedding let in.

The embedding is projected and added to the time embedding, and projected to four extra tokens beside the outputs of GLIDE's own text
encoder. It predicts the noise and where the variance lies (Nichol & Dhariwal, 2021). Dropped conditioning becomes learned null vectors.
"""

# B batch, S text tokens, T context tokens, M text width, D embedding, E width of the conditioning

import torch
from torch import Tensor, nn

from unclip_models.config import DecoderConfig
from unclip_models.layers import Block, TimeEmbedding, init_tower, kept
from unclip_models.text import Text
from unclip_models.unet import Head, UNet


class TextEncoder(nn.Module):
    """GLIDE's text transformer: every token sees every other; padding has learned vectors of its own."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        tower = config.text
        self.tokens = nn.Embedding(config.vocab_size, tower.width)
        self.positions_SM = nn.Parameter(torch.empty(config.context, tower.width))
        self.padding_SM = nn.Parameter(torch.empty(config.context, tower.width))
        self.blocks = nn.ModuleList(Block(tower.width, tower.heads, tower.mlp_ratio, causal=False) for _ in range(tower.depth))
        self.norm = nn.LayerNorm(tower.width)

    def init_weights(self) -> None:
        for table in (self.tokens.weight, self.positions_SM, self.padding_SM):
            nn.init.normal_(table, std=0.02)
        init_tower(self.blocks, self.positions_SM.shape[1])

    def forward(self, tokens_BS: Tensor) -> Tensor:
        S = tokens_BS.shape[1]
        padding_BS = torch.arange(S, device=tokens_BS.device) > tokens_BS.argmax(dim=1)[:, None]
        x_BSM = self.tokens(tokens_BS) + self.positions_SM[:S]
        x_BSM = torch.where(padding_BS[..., None], self.padding_SM[:S].to(x_BSM.dtype), x_BSM)
        for block in self.blocks:
            x_BSM = block(x_BSM)
        return self.norm(x_BSM)


class Decoder(nn.Module):
    """`forward(x_t, t, z_image, text)` is [B, 6, H, W]: the noise, then the variance as a fraction in [-1, 1]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        unet, width = config.unet, config.text.width
        self.text_encoder = TextEncoder(config)
        self.time_in = TimeEmbedding(unet.channels, unet.time_width)
        self.text_in = nn.Linear(width, unet.time_width)
        self.image_in = nn.Linear(config.embed_dim, unet.time_width)
        self.image_tokens = nn.Linear(config.embed_dim, config.image_tokens * width)
        self.null_image_D = nn.Parameter(torch.empty(config.embed_dim))
        self.null_text_SM = nn.Parameter(torch.empty(config.context, width))
        self.stem = nn.Conv2d(3, unet.channels, 3, padding=1)
        self.unet = UNet(unet, context_width=width)
        self.head = Head(unet, channels_out=6)
        self.init_weights()

    def init_weights(self) -> None:
        self.text_encoder.init_weights()
        nn.init.normal_(self.null_image_D, std=self.config.embed_dim**-0.5)
        nn.init.normal_(self.null_text_SM, std=0.02)

    def forward(
        self,
        x_BCHW: Tensor,
        t_B: Tensor,
        z_image_BD: Tensor,
        text: Text | None,
        keep_image_B: Tensor | None = None,
        keep_text_B: Tensor | None = None,
    ) -> Tensor:
        z_BD = kept(z_image_BD, self.null_image_D, keep_image_B)
        text_BSM = self._text(text, len(x_BCHW), keep_text_B)
        emb_BE = self.time_in(t_B) + self.image_in(z_BD) + self.text_in(text_BSM[:, -1])
        image_BTM = self.image_tokens(z_BD).unflatten(1, (self.config.image_tokens, -1))
        features_BCHW = self.unet(self.stem(x_BCHW), emb_BE, torch.cat([image_BTM, text_BSM], dim=1))
        return self.head(features_BCHW).float()

    def _text(self, text: Text | None, batch: int, keep_text_B: Tensor | None) -> Tensor:
        if text is None:
            return self.null_text_SM.expand(batch, -1, -1)
        return kept(self.text_encoder(text.tokens_BS), self.null_text_SM, keep_text_B)

"""Diffusion prior (Ramesh et al., 2022, section 2.2): from a caption to a CLIP image embedding.

A causal transformer reads [text features, text embedding, time, noised image embedding, query]; its output at the query is the clean
embedding. It reads "the encoded text" as CLIP's frozen token features, and works on standardised embeddings (`stats`), the paper's
factor 17.2 being the case of mean 0. Dropped conditioning is replaced by learned null vectors.

Not in the paper: a `regressor` of the image embedding, trained first and then frozen, whose residual the transformer predicts; and a
linear path from the text embedding to the output.
"""

# B batch, S text tokens, D embedding, W width of CLIP's text tower, M width of this tower

from typing import cast

import torch
from torch import Tensor, nn

from unclip_models.config import PriorConfig
from unclip_models.layers import Block, EmbeddingStats, TimeEmbedding, Whitening, init_tower, kept, zeroed
from unclip_models.preconditioning import Preconditioning
from unclip_models.regressors import perceptron
from unclip_models.text import Text

EXTRA_TOKENS = 4  # text embedding, time, noised image embedding, query


class Prior(nn.Module):
    """`forward(z_t, t, text)` is the clean standardised image embedding."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.tower.width
        D, regressor = config.embed_dim, config.regressor
        whitened = regressor is not None or config.linear_path
        self.stats = Whitening(D) if whitened else EmbeddingStats(D, config.embedding_scale)
        self.text_stats = Whitening(D) if whitened else None
        self.linear_path = nn.Linear(D, D) if config.linear_path else None
        self.add_module("guess", perceptron(D, regressor.width, regressor.depth, D) if regressor else None)
        self.add_module("shares", Preconditioning() if regressor else None)
        self.features_in = nn.Linear(config.text_width, width)
        self.text_in = nn.Linear(config.embed_dim, width)
        self.time_in = TimeEmbedding(min(width, 512), width)
        self.image_in = nn.Linear(config.embed_dim, width)
        self.query_M = nn.Parameter(torch.empty(width))
        self.null_features_SM = nn.Parameter(torch.empty(config.context, width))
        self.null_text_M = nn.Parameter(torch.empty(width))
        self.positions_SM = nn.Parameter(torch.empty(config.context + EXTRA_TOKENS, width))
        tower = config.tower
        blocks = (Block(width, tower.heads, tower.mlp_ratio, causal=True, dropout=config.dropout) for _ in range(tower.depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.embed_dim)
        self.init_weights()

    @property
    def regressor(self) -> nn.Sequential | None:
        """The perceptron from text to image embedding; weights files know it as `guess`."""
        return cast("nn.Sequential | None", self._modules["guess"])

    @property
    def preconditioning(self) -> Preconditioning | None:
        """There with a regressor only; weights files know it as `shares`."""
        return cast("Preconditioning | None", self._modules["shares"])

    def init_weights(self) -> None:
        for vector in (self.query_M, self.null_features_SM, self.null_text_M, self.positions_SM):
            nn.init.normal_(vector, std=0.02)
        init_tower(self.blocks, self.config.tower.width)
        zeroed(self.out)

    def forward(self, z_BD: Tensor, t_B: Tensor, text: Text, keep_B: Tensor | None = None) -> Tensor:
        """The clean embedding [B, D], standardised like the noised `z_BD`. Where `keep_B` is false the text is the learned null."""
        if self.regressor is None or self.preconditioning is None:
            return self._transformed(z_BD, t_B, text, keep_B) + self._linear(text, keep_B)
        estimate_BD = kept(self.regressed(text.embedding_BD), torch.zeros_like(z_BD[0]), keep_B)
        c = self.preconditioning(t_B, z_BD.dim())
        return c.output(z_BD, estimate_BD, self._transformed(c.network_input(z_BD, estimate_BD), t_B, text, keep_B))

    def _linear(self, text: Text, keep_B: Tensor | None) -> Tensor | float:
        """What the text embedding says by itself [B, D], standardised; 0 where it is left out, or without a linear path."""
        if self.linear_path is None or self.text_stats is None:
            return 0.0
        estimate_BD = self.linear_path(self.text_stats.standardise(text.embedding_BD)).float()
        return kept(estimate_BD, torch.zeros_like(estimate_BD[0]), keep_B)

    def regressed(self, text_BD: Tensor, noise: float = 0.0) -> Tensor:
        """The regressor's image embedding [B, D], standardised, from unit-norm text embeddings; with `noise` on their standardised form."""
        assert self.regressor is not None and self.text_stats is not None
        standard_BD = self.text_stats.standardise(text_BD)
        return self.regressor(standard_BD + noise * torch.randn_like(standard_BD)).float()

    def _transformed(self, z_BD: Tensor, t_B: Tensor, text: Text, keep_B: Tensor | None) -> Tensor:
        """The transformer's output at the query [B, D]."""
        features_BSM = kept(self.features_in(text.features_BSW), self.null_features_SM, keep_B)
        unit_scale = self.config.embed_dim**0.5  # entries of a unit vector are small; a layer likes variance one
        text_BM = kept(self.text_in(text.embedding_BD * unit_scale), self.null_text_M, keep_B)
        query_BM = self.query_M.expand(len(z_BD), -1)
        tail_B4M = torch.stack([text_BM, self.time_in(t_B), self.image_in(z_BD), query_BM.to(text_BM.dtype)], dim=1)
        x_BSM = torch.cat([features_BSM, tail_B4M], dim=1) + self.positions_SM
        for block in self.blocks:
            x_BSM = block(x_BSM)
        return self.out(self.norm(x_BSM[:, -1])).float()

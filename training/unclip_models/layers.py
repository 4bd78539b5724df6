"""Small parts that several networks share: times as vectors, statistics of embeddings, attention."""

# B batch, S tokens, T context tokens, D width, H heads, K head width, N rows of a set

import math

import torch
from torch import Tensor, nn

TIME_SCALE = 1000.0  # times are in [0, 1]; the papers' sinusoids expect steps out of 1000


class TimeEmbedding(nn.Module):
    """Sinusoids of the time (Vaswani et al., 2017), then a two-layer perceptron: t_B in [0, 1] to [B, width]."""

    def __init__(self, sinusoids: int, width: int) -> None:
        super().__init__()
        self.sinusoids = sinusoids
        self.layers = nn.Sequential(nn.Linear(sinusoids, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t_B: Tensor) -> Tensor:
        half = self.sinusoids // 2
        exponents = torch.arange(half, device=t_B.device, dtype=torch.float32) / half
        angles_BK = TIME_SCALE * t_B.float()[:, None] * torch.exp(-math.log(10_000.0) * exponents)
        return self.layers(torch.cat([angles_BK.cos(), angles_BK.sin()], dim=1))


class EmbeddingStats(nn.Module):
    """Mean and deviation of a set of embeddings, stored with the weights; what a diffusion or a linear layer sees is standardised by them.

    Until `fit` is called: mean 0 and deviation 1 / scale, at scale 17.2 the paper's own scaling (Ramesh et al., 2022, appendix C).
    """

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, embed_dim: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(embed_dim))
        self.register_buffer("std_D", torch.full((embed_dim,), 1.0 / scale))

    @torch.no_grad()
    def fit(self, z_ND: Tensor) -> None:
        """Takes mean and deviation from these embeddings; a dimension that does not vary keeps a small deviation."""
        self.mean_D.copy_(z_ND.mean(0))
        self.std_D.copy_(z_ND.std(0, correction=0).clamp_min(1e-4))

    def standardise(self, z_BD: Tensor) -> Tensor:
        return (z_BD - self.mean_D) / self.std_D

    def restore(self, z_BD: Tensor) -> Tensor:
        return z_BD * self.std_D + self.mean_D


class Whitening(nn.Module):
    """Mean and covariance of a set of embeddings, stored with the weights, so that a layer sees uncorrelated entries of variance one.

    Directions in which the set hardly varies (below `FLOOR` of the widest) are not blown up: there a prior's errors are as large as what
    is to be told. Until `fit`: times sqrt(embed_dim).
    """

    FLOOR = 0.1
    mean_D: Tensor
    matrix_DD: Tensor
    inverse_DD: Tensor

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(embed_dim))
        self.register_buffer("matrix_DD", torch.eye(embed_dim) * embed_dim**0.5)
        self.register_buffer("inverse_DD", torch.eye(embed_dim) * embed_dim**-0.5)

    @torch.no_grad()
    def fit(self, z_ND: Tensor) -> None:
        """Takes mean and principal directions from these embeddings."""
        centred_ND = z_ND - z_ND.mean(0)
        values_D, vectors_DD = torch.linalg.eigh(centred_ND.T @ centred_ND / len(z_ND))
        std_D = values_D.clamp_min(0).sqrt()
        std_D = std_D.clamp_min(float(std_D.max()) * self.FLOOR).clamp_min(1e-6)
        self.mean_D.copy_(z_ND.mean(0))
        self.matrix_DD.copy_(vectors_DD / std_D)
        self.inverse_DD.copy_((vectors_DD * std_D).T)

    def standardise(self, z_BD: Tensor) -> Tensor:
        return (z_BD - self.mean_D) @ self.matrix_DD

    def restore(self, z_BD: Tensor) -> Tensor:
        return z_BD @ self.inverse_DD + self.mean_D


class SelfAttention(nn.Module):
    """Multi-head attention over tokens [B, S, D]."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BSD: Tensor) -> Tensor:
        B, S, D = x_BSD.shape
        q_BHSK, k_BHSK, v_BHSK = self.qkv(x_BSD).view(B, S, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y_BHSK = nn.functional.scaled_dot_product_attention(q_BHSK, k_BHSK, v_BHSK, is_causal=self.causal)
        return self.out(y_BHSK.transpose(1, 2).reshape(B, S, D))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, *, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = int(mlp_ratio * width)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal=causal)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BSD: Tensor) -> Tensor:
        x_BSD = x_BSD + self.dropout(self.attention(self.norm_1(x_BSD)))
        return x_BSD + self.dropout(self.mlp(self.norm_2(x_BSD)))


def init_tower(blocks: nn.ModuleList, width: int) -> None:
    """CLIP's initialisation: the residual branches start small enough that depth does not raise the variance."""
    out_std = width**-0.5 * (2 * len(blocks)) ** -0.5
    for block in blocks:
        assert isinstance(block, Block)
        first, last = block.mlp[0], block.mlp[2]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        nn.init.normal_(block.attention.qkv.weight, std=width**-0.5)
        nn.init.normal_(block.attention.out.weight, std=out_std)
        nn.init.normal_(first.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(last.weight, std=out_std)


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """The same layer, all zeros: a residual branch or an output that starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def kept(value: Tensor, null: Tensor, keep_B: Tensor | None) -> Tensor:
    """`value` [B, ...] where `keep_B`, the learned `null` [...] elsewhere: the dropping that classifier-free guidance needs."""
    if keep_B is None:
        return value
    return torch.where(keep_B.view(-1, *[1] * (value.dim() - 1)), value, null.to(value.dtype))

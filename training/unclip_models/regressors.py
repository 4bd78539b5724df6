"""Regressors of the compact networks: perceptrons trained first, then frozen, around which a diffusion network learns the residual.

Under a square loss the best prediction is the mean of all pictures (or embeddings) with this condition, which is what a diffusion
network's first step must predict too. Dense layers learn it many times faster per second of a CPU than convolutions or attention.
"""

# B batch, N pictures of a set, P = 3 * side * side pixel values, K components, D width of the input

import torch
from torch import Tensor, nn

from unclip_models.config import PictureRegressorConfig


def perceptron(width_in: int, width: int, depth: int, width_out: int) -> nn.Sequential:
    """`depth` hidden layers of `width` between input and output."""
    layers: list[nn.Module] = [nn.Linear(width_in, width), nn.GELU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(width, width_out))


class PictureRegressor(nn.Module):
    """`forward(condition [B, D])` is the mean picture [B, 3, side, side], from its principal components. Call `fit` before training."""

    mean_P: Tensor
    basis_KP: Tensor
    scale: Tensor

    def __init__(self, config: PictureRegressorConfig, condition_width: int, side: int) -> None:
        super().__init__()
        self.side, num_values = side, 3 * side**2
        self.register_buffer("mean_P", torch.zeros(num_values))
        self.register_buffer("basis_KP", torch.zeros(config.components, num_values))
        self.register_buffer("scale", torch.ones(()))
        self.layers = perceptron(condition_width, config.width, config.depth, config.components)

    @torch.no_grad()
    def fit(self, pictures_N3HW: Tensor) -> None:
        """Takes mean and principal components from these pictures in [-1, 1]."""
        flat_NP = pictures_N3HW.flatten(1)
        centred_NP = flat_NP - flat_NP.mean(0)
        num_components = len(self.basis_KP)
        values_P, vectors_PP = torch.linalg.eigh(centred_NP.T @ centred_NP / len(centred_NP))
        self.mean_P.copy_(flat_NP.mean(0))
        self.basis_KP.copy_(vectors_PP[:, -num_components:].flip(1).T)
        self.scale.copy_(values_P[-num_components:].clamp_min(0).mean().sqrt().clamp_min(1e-4))

    def components(self, pictures_N3HW: Tensor) -> Tensor:
        """What the layers should predict for these pictures [N, K]; of variance one on average over the components that were fitted."""
        return (pictures_N3HW.flatten(1) - self.mean_P) @ self.basis_KP.T / self.scale

    def forward(self, condition_BD: Tensor) -> Tensor:
        components_BK = self.layers(condition_BD).float() * self.scale
        return (self.mean_P + components_BK @ self.basis_KP).view(-1, 3, self.side, self.side)

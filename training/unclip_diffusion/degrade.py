"""Degradations of the small picture while an upsampler trains, so that it tolerates errors of the stage before it.

Ramesh et al. (2022), appendix C: a gaussian blur for the first upsampler, as in SR3; BSR degradation for the second. The latter is written
here after the description in Zhang et al. (2021): blur, resize, noise and JPEG in random order and strength. `add_smooth_noise`
is for a decoder smaller than theirs. Pictures are in [-1, 1].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

# B batch, C channels, H W sides, K kernel side

Degradation = Callable[[Tensor, torch.Generator], Tensor]

JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def gaussian_blur(x_BCHW: Tensor, kernel: int = 3, sigma: float = 0.6) -> Tensor:
    """The same size, blurred; edges are mirrored. The paper's values are the defaults."""
    offsets_K = torch.arange(kernel, device=x_BCHW.device, dtype=x_BCHW.dtype) - (kernel - 1) / 2
    weights_K = torch.exp(-(offsets_K**2) / (2 * sigma**2))
    weights_K = weights_K / weights_K.sum()
    channels, margin = x_BCHW.shape[1], kernel // 2
    padded = nn.functional.pad(x_BCHW, (margin,) * 4, mode="reflect")
    across = nn.functional.conv2d(padded, weights_K.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return nn.functional.conv2d(across, weights_K.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


def add_smooth_noise(x_BCHW: Tensor, most: float) -> Tensor:
    """The same with noise as smooth as a small decoder's errors, in each picture of a deviation drawn between 0 and `most`."""
    noise_BCHW = gaussian_blur(torch.randn_like(x_BCHW), kernel=5, sigma=0.4 + 0.8 * float(torch.rand(())))
    deviation_B111 = most * torch.rand(len(x_BCHW), 1, 1, 1, device=x_BCHW.device)
    return x_BCHW + deviation_B111 * noise_BCHW / noise_BCHW.std()


def degrade_light(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """A mild BSR: the four degradations in an order drawn for the batch, each with a strength drawn for the batch; within [-1, 1]."""
    degradations: list[Degradation] = [_random_blur, _random_resize, _random_noise, _random_jpeg]
    for i in torch.randperm(len(degradations), generator=generator).tolist():
        x_BCHW = degradations[i](x_BCHW, generator)
    return x_BCHW.clamp(-1, 1)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def _random_blur(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    return gaussian_blur(x_BCHW, kernel=5, sigma=_between(0.2, 1.2, generator))


def _random_resize(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Smaller and back, each way with a filter drawn."""
    factor = _between(0.6, 1.0, generator)
    modes = ("area", "bilinear", "bicubic")
    down, up = (modes[int(torch.randint(len(modes), (1,), generator=generator))] for _ in range(2))
    height, width = x_BCHW.shape[-2:]
    small = nn.functional.interpolate(x_BCHW, size=(max(1, round(height * factor)), max(1, round(width * factor))), mode=down)
    return nn.functional.interpolate(small, size=(height, width), mode=up)


def _random_noise(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(x_BCHW.shape, generator=generator).to(x_BCHW)
    return x_BCHW + _between(0.0, 0.04, generator) * noise


def _random_jpeg(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    return jpeg(x_BCHW, round(_between(50, 95, generator)))


def jpeg(x_BCHW: Tensor, quality: int) -> Tensor:
    """What JPEG's rounding does to 8 x 8 blocks at `quality` 1 to 100; every channel is treated as luminance."""
    height, width = x_BCHW.shape[-2:]
    padded = nn.functional.pad(x_BCHW, (0, -width % 8, 0, -height % 8), mode="replicate") * 127.5
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)
    basis, table = _cosine_basis().to(padded), _quantisation(quality).to(padded)
    rounded = torch.round(basis @ blocks @ basis.T / table) * table
    restored = basis.T @ rounded @ basis
    return restored.transpose(3, 4).reshape(padded.shape)[..., :height, :width] / 127.5


def _cosine_basis() -> Tensor:
    """The orthonormal 8 x 8 matrix of the discrete cosine transform (type II)."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None, :]
    basis = torch.cos(math.pi / 8 * (n + 0.5) * k) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _quantisation(quality: int) -> Tensor:
    """JPEG's table (ITU-T T.81, annex K) scaled as libjpeg does."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(JPEG_LUMINANCE) * scale + 50) / 100).floor().clamp(1, 255)

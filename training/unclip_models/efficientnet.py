"""EfficientNet-lite0 (Tan & Le, 2019; lite: no squeeze, ReLU6) as the locked image tower of a CLIP that learns in minutes.

Locked-image tuning (Zhai et al., 2022, LiT): the picture's features come from a network trained on ImageNet, only the text tower learns.
The embedding is a whitened projection of features from three depths, the shallow ones on a grid, so that it also tells colour and place.
"""

# B batch, C channels, H W sides, F features, D embedding

import torch
from torch import Tensor, nn

NUM_FEATURES = 1280 + 4 * 320 + 16 * 112
# kernel, stride, expansion, channels out, repeats
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
MIDDLE_BLOCK = 10  # the last block of 112 channels, at a sixteenth of the side
EPS = 1e-3


def convolution(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias. Its padding is `padded`'s business, because TensorFlow's "same" is uneven at stride 2."""
    return nn.Conv2d(c_in, c_out, kernel, stride, 0, groups=groups, bias=False)


def padded(x_BCHW: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "same" padding: the odd pixel lies right and below."""
    ways = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x_BCHW.shape[-2:]]
    (high, wide) = ways
    return nn.functional.pad(x_BCHW, (wide // 2, wide - wide // 2, high // 2, high - high // 2))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; the input is added where it fits. The names are those of the published weights."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = c_in * expansion
        self.kernel, self.stride = kernel, stride
        self._expand_conv = convolution(c_in, inner) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(inner, eps=EPS) if expansion > 1 else None
        self._depthwise_conv = convolution(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, eps=EPS)
        self._project_conv = convolution(inner, c_out)
        self._bn2 = nn.BatchNorm2d(c_out, eps=EPS)
        self.adds = stride == 1 and c_in == c_out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = x_BCHW
        if self._expand_conv is not None and self._bn0 is not None:
            h = nn.functional.relu6(self._bn0(self._expand_conv(h)))
        h = nn.functional.relu6(self._bn1(self._depthwise_conv(padded(h, self.kernel, self.stride))))
        h = self._bn2(self._project_conv(h))
        return h + x_BCHW if self.adds else h


class EfficientNetLite0(nn.Module):
    """`forward(pixels [B, 3, H, W] in [-1, 1])` is [B, NUM_FEATURES]: pooled, on a grid of 2 x 2 and, from half-way, on one of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, 2), nn.BatchNorm2d(32, eps=EPS)
        blocks, c_in = list[nn.Module](), 32
        for kernel, stride, expansion, c_out, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(c_in, c_out, kernel, 1 if repeat else stride, expansion))
                c_in = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = convolution(c_in, 1280), nn.BatchNorm2d(1280, eps=EPS)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        h = nn.functional.relu6(self._bn0(self._conv_stem(padded(pixels_BCHW, 3, 2))))
        middle = h
        for number, block in enumerate(self._blocks):
            h = block(h)
            middle = h if number == MIDDLE_BLOCK else middle
        pooled = nn.functional.relu6(self._bn1(self._conv_head(h))).mean((2, 3))
        grids = [nn.functional.adaptive_avg_pool2d(h, 2), nn.functional.adaptive_avg_pool2d(middle, 4)]
        return torch.cat([pooled, *(grid.flatten(1) for grid in grids)], dim=1)


class LockedTower(nn.Module):
    """The frozen network and the projection of its features, both stored as weights but never trained.

    `fit` sets the projection; until then it is zero.
    """

    mean_F: Tensor
    projection_FD: Tensor

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.features = EfficientNetLite0().eval().requires_grad_(False)
        self.register_buffer("mean_F", torch.zeros(NUM_FEATURES))
        self.register_buffer("projection_FD", torch.zeros(NUM_FEATURES, embed_dim))

    def train(self, mode: bool = True) -> "LockedTower":
        """Stays in evaluation mode: its batch norms keep their published statistics."""
        return super().train(False)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Embeddings [B, D], not yet of unit norm, of pictures in [-1, 1]."""
        return self.project(self.features(pixels_BCHW))

    def project(self, features_BF: Tensor) -> Tensor:
        """Embeddings [B, D] of features."""
        return (features_BF.float() - self.mean_F) @ self.projection_FD

    @torch.no_grad()
    def fit(self, features_NF: Tensor) -> None:
        """Principal components of the features, each depth of equal weight, whitened; with fewer pictures than D the rest stays zero."""
        mean_F, widths = features_NF.mean(0), (1280, 4 * 320, 16 * 112)
        scale_F = torch.cat([_equal_weight(part) for part in (features_NF - mean_F).split(widths, dim=1)])
        scaled_NF = (features_NF - mean_F) * scale_F
        count = min(self.projection_FD.shape[1], len(features_NF) - 1, NUM_FEATURES)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            _, values_K, vectors_FK = torch.pca_lowrank(scaled_NF, q=count, center=False, niter=4)
        deviation_K = values_K / max(len(features_NF), 2) ** 0.5
        self.mean_F.copy_(mean_F)
        self.projection_FD.zero_()
        self.projection_FD[:, :count] = scale_F[:, None] * vectors_FK / deviation_K.clamp_min(1e-6)


def _equal_weight(centred_NF: Tensor) -> Tensor:
    """One over the root of the summed variance, for each feature [F] of a depth."""
    total = centred_NF.square().mean(0).sum().clamp_min(1e-12)
    return torch.full((centred_NF.shape[1],), float(total.rsqrt()))

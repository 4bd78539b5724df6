"""Towers of CLIP (Radford et al., 2021, section 2.4): transformer, vision transformer and modified ResNet.

Names, initial weights and numbers are those of open_clip, so that its checkpoints fit; a test holds the two equal. They are here because
open_clip takes ten seconds to import, with much that no tower needs.
"""

# B batch, C channels, H W sides, P places of a grid, S tokens, W width, D embedding

from collections import OrderedDict

import torch
from torch import Tensor, nn

from unclip_models.config import TowerConfig

EXPANSION = 4
ATTENTION_SIDE = 32  # pixels per place of the grid that a modified ResNet attends over


class LayerNorm(nn.LayerNorm):
    """A layer norm that gives back the precision it was given, also where autocast would widen it."""

    def forward(self, input: Tensor) -> Tensor:
        normed = nn.functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.to(input.dtype)


class ClipBlock(nn.Module):
    """Attention, then a perceptron, each with its layer norm before it and its input added after it."""

    def __init__(self, tower: TowerConfig, heads: int) -> None:
        super().__init__()
        inner = int(tower.width * tower.mlp_ratio)
        self.ln_1 = LayerNorm(tower.width)
        self.attn = nn.MultiheadAttention(tower.width, heads, batch_first=True)
        self.ln_2 = LayerNorm(tower.width)
        layers = [("c_fc", nn.Linear(tower.width, inner)), ("gelu", nn.GELU()), ("c_proj", nn.Linear(inner, tower.width))]
        self.mlp = nn.Sequential(OrderedDict[str, nn.Module](layers))

    def forward(self, x_BSW: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(x_BSW)
        mask = attn_mask.to(normed.dtype) if attn_mask is not None else None
        x_BSW = x_BSW + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        return x_BSW + self.mlp(self.ln_2(x_BSW))


class Transformer(nn.Module):
    """`depth` blocks in a row."""

    def __init__(self, tower: TowerConfig, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([ClipBlock(tower, heads) for _ in range(tower.depth)])

    def forward(self, x_BSW: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x_BSW = block(x_BSW, attn_mask)
        return x_BSW

    def init_weights(self) -> None:
        """The initial weights of GPT-2, as CLIP's text tower has them."""
        blocks = [block for block in self.resblocks if isinstance(block, ClipBlock)]
        width, depth = blocks[0].ln_1.normalized_shape[0], len(blocks)
        for block in blocks:
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=width**-0.5 * (2 * depth) ** -0.5)
            widen, _, narrow = block.mlp
            nn.init.normal_(_weight(widen), std=(2 * width) ** -0.5)
            nn.init.normal_(_weight(narrow), std=width**-0.5 * (2 * depth) ** -0.5)


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return layer.weight


def causal_mask(context: int) -> Tensor:
    """[S, S]: minus infinity where a token would look ahead, else 0."""
    return torch.full((context, context), float("-inf")).triu_(1)


class VisionTransformer(nn.Module):
    """Patches and a class token through a transformer; the class token, projected, is the embedding."""

    def __init__(self, tower: TowerConfig, heads: int, sides: tuple[int, int], embed_dim: int) -> None:
        super().__init__()
        image_size, patch_size = sides
        width, scale = tower.width, tower.width**-0.5
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn((image_size // patch_size) ** 2 + 1, width))
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(tower, heads)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        patches_BPW = self.conv1(x_BCHW).flatten(2).permute(0, 2, 1)
        classes_B1W = self.class_embedding.view(1, 1, -1).expand(len(patches_BPW), -1, -1).to(patches_BPW.dtype)
        x_BSW = torch.cat([classes_B1W, patches_BPW], dim=1) + self.positional_embedding.to(patches_BPW.dtype)
        return self.ln_post(self.transformer(self.ln_pre(x_BSW)))[:, 0] @ self.proj


class Bottleneck(nn.Module):
    """A residual block whose stride is an average pool, so that nothing is skipped."""

    def __init__(self, channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        out = planes * EXPANSION
        self.conv1, self.bn1, self.act1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(planes), nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3, self.bn3, self.act3 = nn.Conv2d(planes, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != out:
            layers = [("-1", nn.AvgPool2d(stride)), ("0", nn.Conv2d(channels, out, 1, bias=False)), ("1", nn.BatchNorm2d(out))]
            self.downsample = nn.Sequential(OrderedDict[str, nn.Module](layers))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv1(x_BCHW)))
        out = self.avgpool(self.act2(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        out += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return self.act3(out)


class AttentionPool2d(nn.Module):
    """The mean of the grid asks all its places; the answer, projected, is the embedding."""

    def __init__(self, side: int, width: int, heads: int, embed_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, width) / width**0.5)
        self.k_proj, self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.c_proj = nn.Linear(width, embed_dim)
        self._width = width

    def init_weights(self) -> None:
        """Weights as small as the width asks for."""
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(projection.weight, std=self._width**-0.5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_PBW = x_BCHW.flatten(2).permute(2, 0, 1)
        x_PBW = torch.cat([x_PBW.mean(dim=0, keepdim=True), x_PBW], dim=0)
        x_PBW = x_PBW + self.positional_embedding[:, None, :].to(x_PBW.dtype)
        pooled_PBD, _ = nn.functional.multi_head_attention_forward(
            query=x_PBW,
            key=x_PBW,
            value=x_PBW,
            embed_dim_to_check=self._width,
            num_heads=self.heads,
            in_proj_weight=None,
            in_proj_bias=torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=self.c_proj.weight,
            out_proj_bias=self.c_proj.bias,
            training=self.training,
            need_weights=False,
            use_separate_proj_weight=True,
            q_proj_weight=self.q_proj.weight,
            k_proj_weight=self.k_proj.weight,
            v_proj_weight=self.v_proj.weight,
        )
        return pooled_PBD[0]


class ModifiedResNet(nn.Module):
    """A ResNet with three convolutions at its stem, average pools for strides and attention for its last pool."""

    def __init__(self, blocks: tuple[int, ...], width: int, heads: int, image_size: int, embed_dim: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(half, half, 3, padding=1, bias=False), nn.BatchNorm2d(half)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3, self.bn3 = nn.Conv2d(half, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.act3 = nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(2)
        self.layer1 = _stage(width, width, blocks[0], 1)
        self.layer2 = _stage(width * EXPANSION, 2 * width, blocks[1], 2)
        self.layer3 = _stage(2 * width * EXPANSION, 4 * width, blocks[2], 2)
        self.layer4 = _stage(4 * width * EXPANSION, 8 * width, blocks[3], 2)
        self.attnpool = AttentionPool2d(image_size // ATTENTION_SIDE, 8 * width * EXPANSION, heads, embed_dim)
        self.attnpool.init_weights()
        for block in self.modules():
            if isinstance(block, Bottleneck):
                nn.init.zeros_(block.bn3.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.act1(self.bn1(self.conv1(x_BCHW)))
        x_BCHW = self.act2(self.bn2(self.conv2(x_BCHW)))
        x_BCHW = self.avgpool(self.act3(self.bn3(self.conv3(x_BCHW))))
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x_BCHW)))))


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Bottleneck(channels, planes, stride), *(Bottleneck(planes * EXPANSION, planes) for _ in range(1, blocks)))

"""U-Net of ADM (Dhariwal & Nichol, 2021): what decoder and upsamplers have in common between their first and last layer.

Residual blocks take the conditioning as scale and shift after the second norm; halving and doubling happen inside residual blocks
(`resblock_updown`); attention reads its own pixels and, where there is one, a context of tokens (Nichol et al., 2021, GLIDE).
"""

# B batch, C channels, H W height and width, S = H * W pixels, T context tokens, X context width, E width of the conditioning

from collections.abc import Callable

import torch
from torch import Tensor, nn

from unclip_models.config import UNetConfig
from unclip_models.layers import zeroed


def halve(x_BCHW: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x_BCHW, 2)


def double(x_BCHW: Tensor) -> Tensor:
    return nn.functional.interpolate(x_BCHW, scale_factor=2, mode="nearest")


def keep_size(x_BCHW: Tensor) -> Tensor:
    return x_BCHW


class ResBlock(nn.Module):
    """Two convolutions around a residual; `resize` is applied to both ways."""

    def __init__(self, config: UNetConfig, c_in: int, c_out: int, resize: Callable[[Tensor], Tensor] = keep_size) -> None:
        super().__init__()
        self.resize = resize
        self.norm_1, self.norm_2 = nn.GroupNorm(config.num_groups, c_in), nn.GroupNorm(config.num_groups, c_out)
        self.conv_1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv_2 = zeroed(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.condition = nn.Linear(config.time_width, 2 * c_out)
        self.dropout = nn.Dropout(config.dropout)
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x_BCHW: Tensor, emb_BE: Tensor) -> Tensor:
        h_BCHW = self.conv_1(self.resize(nn.functional.silu(self.norm_1(x_BCHW))))
        scale_BC11, shift_BC11 = self.condition(nn.functional.silu(emb_BE))[:, :, None, None].chunk(2, dim=1)
        h_BCHW = nn.functional.silu(self.norm_2(h_BCHW) * (1 + scale_BC11) + shift_BC11)
        return self.skip(self.resize(x_BCHW)) + self.conv_2(self.dropout(h_BCHW))


class AttentionBlock(nn.Module):
    """Pixels attend to all pixels and to the context."""

    def __init__(self, config: UNetConfig, channels: int, context_width: int) -> None:
        super().__init__()
        self.heads = channels // config.head_channels
        self.norm = nn.GroupNorm(config.num_groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.context_kv = nn.Linear(context_width, 2 * channels) if context_width else None
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x_BCHW: Tensor, context_BTX: Tensor | None) -> Tensor:
        B, C, H, W = x_BCHW.shape
        q_BSC, kv_BS2C = self.qkv(self.norm(x_BCHW).flatten(2).transpose(1, 2)).split([C, 2 * C], dim=2)
        if self.context_kv is not None and context_BTX is not None:
            kv_BS2C = torch.cat([self.context_kv(context_BTX), kv_BS2C], dim=1)
        k_BSC, v_BSC = kv_BS2C.chunk(2, dim=2)
        y_BHSK = nn.functional.scaled_dot_product_attention(self._split(q_BSC), self._split(k_BSC), self._split(v_BSC))
        y_BSC = self.out(y_BHSK.transpose(1, 2).reshape(B, H * W, C))
        return x_BCHW + y_BSC.transpose(1, 2).reshape(B, C, H, W)

    def _split(self, x_BSC: Tensor) -> Tensor:
        return x_BSC.unflatten(2, (self.heads, -1)).transpose(1, 2)


class ResAttentionBlock(nn.Module):
    """One residual block and, at the sides that have it, attention."""

    def __init__(self, block: ResBlock, attention: AttentionBlock | None) -> None:
        super().__init__()
        self.block, self.attention = block, attention

    def forward(self, x_BCHW: Tensor, emb_BE: Tensor, context_BTX: Tensor | None) -> Tensor:
        x_BCHW = self.block(x_BCHW, emb_BE)
        return x_BCHW if self.attention is None else self.attention(x_BCHW, context_BTX)


class UNet(nn.Module):
    """`forward(x [B, channels, H, W], emb [B, time_width], context [B, T, X] or None)` is like x. Any H, W that halve evenly."""

    def __init__(self, config: UNetConfig, context_width: int = 0) -> None:
        super().__init__()
        self.config, self.context_width = config, context_width
        self.down, skips = self._down()
        widest = config.channels * config.multipliers[-1]
        last_side = config.side >> (len(config.multipliers) - 1)
        self.middle = nn.ModuleList([self._step(widest, widest, last_side), ResAttentionBlock(ResBlock(config, widest, widest), None)])
        self.up = self._up(skips)

    def _step(self, c_in: int, c_out: int, side: int) -> ResAttentionBlock:
        attends = side in self.config.attention_sides
        attention = AttentionBlock(self.config, c_out, self.context_width) if attends else None
        return ResAttentionBlock(ResBlock(self.config, c_in, c_out), attention)

    def _down(self) -> tuple[nn.ModuleList, list[int]]:
        """The way down, and the channels it leaves for the way up."""
        config, steps = self.config, nn.ModuleList()
        skips = [config.channels]
        for level, multiplier in enumerate(config.multipliers):
            width = config.channels * multiplier
            for _ in range(config.num_blocks):
                steps.append(self._step(skips[-1], width, config.side >> level))
                skips.append(width)
            if level < len(config.multipliers) - 1:
                steps.append(ResAttentionBlock(ResBlock(config, width, width, halve), None))
                skips.append(width)
        return steps, skips

    def _up(self, skips: list[int]) -> nn.ModuleList:
        config, steps = self.config, nn.ModuleList()
        now, waiting = skips[-1], list(skips)
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            width = config.channels * multiplier
            for _ in range(config.num_blocks + 1):
                steps.append(self._step(now + waiting.pop(), width, config.side >> level))
                now = width
            if level > 0:
                steps.append(ResAttentionBlock(ResBlock(config, width, width, double), None))
        return steps

    def forward(self, x_BCHW: Tensor, emb_BE: Tensor, context_BTX: Tensor | None = None) -> Tensor:
        skips = [x_BCHW]
        for step in self.down:
            x_BCHW = step(x_BCHW, emb_BE, context_BTX)
            skips.append(x_BCHW)
        for step in self.middle:
            x_BCHW = step(x_BCHW, emb_BE, context_BTX)
        for step in self.up:
            doubles = step.block.resize is double
            x_BCHW = step(x_BCHW if doubles else torch.cat([x_BCHW, skips.pop()], dim=1), emb_BE, context_BTX)
        return x_BCHW


class Head(nn.Module):
    """From features to pixels; starts at zero."""

    def __init__(self, config: UNetConfig, channels_out: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.num_groups, config.channels * config.multipliers[0])
        self.conv = zeroed(nn.Conv2d(config.channels * config.multipliers[0], channels_out, 3, padding=1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(nn.functional.silu(self.norm(x_BCHW)))

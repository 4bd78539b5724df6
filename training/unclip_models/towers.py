"""CLIP's two towers run for their pooled output alone: what nobody reads is not computed.

The last block answers for the one token that is read, and captions are cut after the longest one of the batch: a causal tower never
looks behind a caption's end. Both leave the result what it was, up to rounding. A network that is built otherwise than open_clip's
plain CLIP goes its own, slower way.
"""

# B batch, S tokens, W width, H heads, K head width

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


def encode_image(network: Any, pixels_BCHW: Tensor) -> Tensor:
    """What `network.encode_image` gives, [B, D], not of unit length."""
    tower = network.visual
    if not is_plain_vision(tower):
        return network.encode_image(pixels_BCHW)
    x_BSW = tower._embeds(pixels_BCHW)
    first_B = torch.zeros(len(x_BSW), dtype=torch.long, device=x_BSW.device)
    read_BW = _through(tower.transformer.resblocks, x_BSW, first_B, causal=False)
    pooled_BW = tower.ln_post(read_BW)
    return pooled_BW if tower.proj is None else pooled_BW @ tower.proj


def encode_text(network: Any, tokens_BS: Tensor) -> Tensor:
    """What `network.encode_text` gives, [B, D], not of unit length; pooling is at the end token, which has the highest id."""
    if not is_plain_text(network):
        return network.encode_text(tokens_BS)
    end_B = tokens_BS.argmax(dim=1)
    cut = int(end_B.max()) + 1
    x_BSW = network.token_embedding(tokens_BS[:, :cut]) + network.positional_embedding[:cut]
    pooled_BW = network.ln_final(_through(network.transformer.resblocks, x_BSW, end_B, causal=True))
    projection = network.text_projection
    return projection(pooled_BW) if isinstance(projection, nn.Linear) else pooled_BW @ projection


def _through(blocks: Any, x_BSW: Tensor, read_B: Tensor, causal: bool) -> Tensor:
    """The token `read_B` of each row after all blocks, [B, W]."""
    for block in blocks[:-1]:
        x_BSW = _block(block, x_BSW, causal)
    return _last_block(blocks[-1], x_BSW, read_B, causal)


def _block(block: Any, x_BSW: Tensor, causal: bool) -> Tensor:
    attn = block.attn
    qkv = linear(block.ln_1(x_BSW), attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = (_heads(part, attn.num_heads) for part in qkv.chunk(3, dim=-1))
    mixed_BSW = scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
    x_BSW = x_BSW + block.ls_1(attn.out_proj(mixed_BSW))
    return x_BSW + block.ls_2(block.mlp(block.ln_2(x_BSW)))


def _last_block(block: Any, x_BSW: Tensor, read_B: Tensor, causal: bool) -> Tensor:
    attn, (B, S, W) = block.attn, x_BSW.shape
    h_BSW, rows = block.ln_1(x_BSW), torch.arange(B, device=x_BSW.device)
    q = _heads(linear(h_BSW[rows, read_B], attn.in_proj_weight[:W], attn.in_proj_bias[:W])[:, None], attn.num_heads)
    kv = linear(h_BSW, attn.in_proj_weight[W:], attn.in_proj_bias[W:])
    k, v = (_heads(part, attn.num_heads) for part in kv.chunk(2, dim=-1))
    seen = (torch.arange(S, device=x_BSW.device) <= read_B[:, None])[:, None, None] if causal else None
    mixed_BW = scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(1)
    read_BW = x_BSW[rows, read_B] + block.ls_1(attn.out_proj(mixed_BW))
    return read_BW + block.ls_2(block.mlp(block.ln_2(read_BW)))


def _heads(x_BSW: Tensor, heads: int) -> Tensor:
    """[B, H, S, K]."""
    return x_BSW.unflatten(-1, (heads, -1)).transpose(1, 2)


def is_plain_vision(tower: Any) -> bool:
    """Whether the picture tower is one that `encode_image` knows a short way through."""
    return (
        type(tower).__name__ == "VisionTransformer"
        and hasattr(tower, "_embeds")
        and tower.attn_pool is None
        and tower.pool_type == "tok"
        and not tower.output_tokens
        and _are_plain(tower.transformer)
    )


def is_plain_text(network: Any) -> bool:
    """Whether the network reads captions as `encode_text` knows a short way to."""
    return (
        type(network).__name__ == "CLIP"  # by name: another release of open_clip moves its classes about
        and network.text_pool_type == "argmax"
        and network.attn_mask is not None
        and isinstance(network.text_projection, nn.Parameter | nn.Linear)
        and _are_plain(network.transformer)
    )


def _are_plain(transformer: Any) -> bool:
    return all(
        type(block).__name__ == "ResidualAttentionBlock"
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.bias_k is None
        and not hasattr(block, "ln_1_kv")
        for block in transformer.resblocks
    )

"""Choice of number format: bf16 where the processor is quick at it, float32 elsewhere."""

from typing import Literal, cast, get_args

import torch

from unclip_pairs.errors import UserError

Precision = Literal["auto", "bf16", "float32"]
LightningPrecision = Literal["bf16-mixed", "32-true"]


def bf16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; where it does not (AVX2 only), bf16 is 5 to 13 times slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def named(precision: str) -> Precision:
    """The precision of this name; `UserError` when there is none."""
    if precision not in get_args(Precision):
        raise UserError(f"the precision {precision!r} does not exist; choose one of {', '.join(get_args(Precision))}")
    return cast(Precision, precision)


def resolved(precision: Precision) -> Literal["bf16", "float32"]:
    """What `auto` means on this machine; the others mean themselves."""
    if precision == "auto":
        return "bf16" if bf16_is_fast() else "float32"
    return precision


def chosen(precision: Precision) -> LightningPrecision:
    """What Lightning's Trainer is told."""
    return "bf16-mixed" if resolved(precision) == "bf16" else "32-true"

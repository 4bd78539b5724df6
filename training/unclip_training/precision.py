"""This file is the choice of number format: bf16 where the processor is quick at it, float32 elsewhere."""

from typing import Literal

import torch

Precision = Literal["auto", "bf16", "float32"]
LightningPrecision = Literal["bf16-mixed", "32-true"]


def bf16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; where it does not (AVX2 only), bf16 is 5 to 13 times slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def chosen(precision: Precision) -> LightningPrecision:
    """What Lightning's Trainer is told."""
    if precision == "auto":
        return "bf16-mixed" if bf16_is_fast() else "32-true"
    return "bf16-mixed" if precision == "bf16" else "32-true"

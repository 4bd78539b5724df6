"""Device and number format of a training: CUDA where there is one, with what is compiled there; bf16 where it is quick, else float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast, get_args

import torch
from torch import nn

from unclip_pairs.errors import UserError

IN_MEMORY_BYTES = 2 * 2**30
SHARE_OF_A_GPU = 0.4  # of its memory, for the decoded pictures
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


def training_device() -> torch.device:
    """The device that Lightning will choose for one process: the present CUDA device, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def in_memory_bytes() -> int:
    """How large decoded pictures may be to be held in memory: 2 GiB, or two fifths of the GPU's memory, where they then lie."""
    device = training_device()
    return IN_MEMORY_BYTES if device.type == "cpu" else max(IN_MEMORY_BYTES, int(SHARE_OF_A_GPU * _total_bytes(device)))


def _total_bytes(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)


def compile_inner(network: nn.Module) -> int:
    """Compiles the U-Nets inside a network, in place, and gives their number; the names of the weights stay what they are.

    Only the inner network: the code around it branches on its conditions, which would be compiled anew for each kind of call.
    """
    inner = [module for name, module in network.named_modules() if name.rsplit(".", 1)[-1] == "unet"]
    for module in inner:
        module.compile()
    return len(inner)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Within the block, compiled networks run as they are written: for batches of odd sizes, each of which would be compiled anew."""
    if training_device().type == "cpu":  # nothing is compiled there, and asking would import the compiler
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield

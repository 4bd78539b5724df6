"""What moves the weights: AdamW, its learning rate over time, and the moving average that is kept."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass(frozen=True, kw_only=True)
class Optim:
    """How a network is optimised; the learning rate rises over `warmup` steps and then falls in a line to `final_share` of `lr`."""

    lr: float
    warmup: int
    final_share: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0 < self.lr < 1:
            raise ValueError(f"lr is {self.lr}; it must lie between 0 and 1")
        if self.warmup < 0 or self.grad_clip <= 0 or not 0 <= self.ema_decay < 1:
            raise ValueError("warmup must not be negative, grad_clip must be positive, ema_decay must lie in [0, 1)")


def rate_at(step: int, warmup: int, steps: int, final_share: float = 0.0) -> float:
    """The share of the peak learning rate at `step`, in [0, 1]: warm-up, then linear decay."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = max(steps - step, 0) / max(steps - warmup, 1)
    return final_share + (1 - final_share) * left


def make_optimizer(network: nn.Module, optim: Optim) -> AdamW:
    """Fused AdamW; gains, biases and other vectors are not decayed."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = AdamW([group for group in groups if group["params"]], lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True)
    # a fused optimizer could undo a loss scale by itself, so Lightning would not clip its gradients under bf16, where no loss is scaled
    setattr(optimizer, "_step_supports_amp_scaling", False)  # noqa: B010
    return optimizer


def make_schedule(optimizer: AdamW, optim: Optim, steps: int) -> LambdaLR:
    """The schedule, advanced once per step."""
    return LambdaLR(optimizer, lambda step: rate_at(step, optim.warmup, steps, optim.final_share))


class Ema:
    """An exponential moving average of a network's parameters; early on it forgets faster, so that the start does not linger."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = [p.detach().clone() for p in parameters]

    def update(self, parameters: Iterable[nn.Parameter]) -> None:
        """One step towards the present parameters, for all tensors at once."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        learned = [p.detach() for p in parameters]
        # a checkpoint is restored before Lightning moves the network to its device
        self.values = [mine.to(theirs.device) for mine, theirs in zip(self.values, learned, strict=True)]
        get_ema_multi_avg_fn(decay)(self.values, learned, 0)

    @torch.no_grad()
    def swap(self, parameters: Iterable[nn.Parameter]) -> None:
        """Exchanges the averages and the parameters; a second call undoes it."""
        for mine, theirs in zip(self.values, parameters, strict=True):
            held = theirs.detach().clone()
            theirs.copy_(mine)
            mine.copy_(held)

    def state(self) -> dict[str, int | list[Tensor]]:
        """What a checkpoint keeps."""
        return {"updates": self.updates, "values": self.values}

    def restore(self, state: dict[str, int | list[Tensor]]) -> None:
        """Takes over what `state` gave."""
        updates, values = state["updates"], state["values"]
        assert isinstance(updates, int) and isinstance(values, list)
        self.updates = updates
        for mine, saved in zip(self.values, values, strict=True):
            mine.copy_(saved)

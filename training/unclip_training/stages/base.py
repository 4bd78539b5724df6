"""What all stages share: a network with its loss, its optimiser, its average, and a guard against divergence."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from PIL import Image
from torch import Tensor, nn

from unclip_pairs.errors import UserError
from unclip_training.config import Run
from unclip_training.data.batches import Batch
from unclip_training.optim import Ema, make_optimizer, make_schedule
from unclip_training.precision import uncompiled

LOSS_MEMORY = 0.98  # of the running mean that a spike is measured against
SPIKE_FACTOR = 10.0
SPIKES_ALLOWED = 25  # in a row
GUARD_FROM_STEP = 100
RunKind = TypeVar("RunKind", bound=Run)


class LossGuard:
    """Notices a loss that is not finite, or that stays far above its running mean."""

    def __init__(self) -> None:
        self.mean: float | None = None
        self.spikes = 0

    def check(self, loss: float, step: int) -> str | None:
        """What is wrong with the loss of this step, or None."""
        if not (loss == loss and abs(loss) != float("inf")):
            return f"the loss is {loss}"
        mean = loss if self.mean is None else self.mean
        self.spikes = self.spikes + 1 if step > GUARD_FROM_STEP and abs(loss) > SPIKE_FACTOR * abs(mean) + 1e-3 else 0
        if self.spikes == 0:
            self.mean = LOSS_MEMORY * mean + (1 - LOSS_MEMORY) * loss
        return f"the loss rose from {mean:.4g} to {loss:.4g} and stayed there" if self.spikes >= SPIKES_ALLOWED else None


class Stage(LightningModule, ABC, Generic[RunKind]):
    """A network and how it learns. `network` is what is trained, averaged and saved; frozen companions are held outside the module tree."""

    def __init__(self, run: RunKind, network: nn.Module) -> None:
        super().__init__()
        self.run = run
        self.network = network.to(memory_format=torch.channels_last) if run.channels_last else network
        self.guard = LossGuard()
        self.last_loss = float("nan")
        self.ema: Ema | None = None
        self.identity: dict[str, object] = {}

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch, a scalar."""

    def validation_loss(self, batch: Batch) -> Tensor:
        """The loss of a batch of validation pairs, measured by one process alone."""
        return self.loss(batch)

    def paint(self) -> Image.Image | None:
        """A grid that shows what the stage can do now, painted with the averaged weights; None for a stage that paints nothing."""
        return None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Lightning's call of `loss`; `UserError` when the training has diverged."""
        loss = self.loss(batch)
        self.last_loss = float(loss.detach())
        if wrong := self.guard.check(self.last_loss, self.global_step):
            raise UserError(
                f"{self.run.stage} diverged at step {self.global_step}: {wrong}; lower lr (now {self.run.optim.lr:g}) or raise warmup; "
                "last.ckpt holds the last good state"
            )
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and linear decay, advanced per step."""
        optimizer = make_optimizer(self.network, self.run.optim)
        schedule = make_schedule(optimizer, self.run.optim, self.run.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Moves the average after each step, before any callback may save it."""
        super().optimizer_step(*args, **kwargs)
        self.averaged().update(self._learned())

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within the block, the network holds the averaged weights and is in evaluation mode."""
        average, was_training = self.averaged(), self.network.training
        average.swap(self._learned())
        self.network.eval()
        try:
            with torch.no_grad(), uncompiled():
                yield
        finally:
            average.swap(self._learned())
            self.network.train(was_training)

    def averaged(self) -> Ema:
        """The average, begun at first use so that it lives where the parameters do."""
        if self.ema is None:
            self.ema = Ema(self._learned(), self.run.optim.ema_decay)
        return self.ema

    def _learned(self) -> list[nn.Parameter]:
        """What the optimiser moves; frozen parts need no average."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the average, and what tells this training from others."""
        checkpoint["ema"], checkpoint["unclip"] = self.averaged().state(), self.identity

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the average from the checkpoint."""
        self.averaged().restore(checkpoint["ema"])

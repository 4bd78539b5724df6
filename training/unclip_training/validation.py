"""Validation: the loss on pairs that nothing learns from, measured now and then in the same way."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unclip_training.callbacks import Curves
from unclip_training.config import Run
from unclip_training.data.batches import Batch, PairsData
from unclip_training.stages.base import Stage

NAME = "validation_loss"
SEED = 20_220_413  # of times, noise, crops and dropped conditions, the same at every validation


def validation_loss(stage: Stage[Run], batches: list[Batch], context: AbstractContextManager[None] | None = None) -> float:
    """The mean loss with the averaged weights in evaluation mode.

    Each call draws the same random numbers, and those of the training stay as they are.
    """
    on_gpu = stage.device.type == "cuda"
    total, count = 0.0, 0
    with stage.averaged_weights(), torch.random.fork_rng([stage.device] if on_gpu else []), context or nullcontext():
        torch.default_generator.manual_seed(SEED)
        if on_gpu:
            torch.cuda.manual_seed(SEED)
        for batch in batches:
            size = len(next(iter(batch.values())))
            total += size * float(stage.validation_loss({name: column.to(stage.device) for name, column in batch.items()}))
            count += size
    return total / count


class Validation(Callback):
    """A point `validation_loss` before the first step, every so many steps, and at the end; by the first process alone.

    `keep` is called within the averaged weights whenever the loss is lower than ever before.
    """

    def __init__(self, curves: Curves, keep: Callable[[], None] | None = None) -> None:
        self.curves, self.keep = curves, keep
        self.batches: list[Batch] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reads the validation pairs, and measures how it stands before anything is learned."""
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, PairsData) and isinstance(pl_module, Stage)
        self.batches = data.validation_batches(pl_module.run.num_validated) if trainer.is_global_zero else []
        if trainer.global_step == 0:
            self._measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """When it is time, and after the last step."""
        assert isinstance(pl_module, Stage)
        step = trainer.global_step
        if step % pl_module.run.validation_interval == 0 or step == trainer.max_steps:
            self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, stage: Stage[Run]) -> None:
        if not self.batches:
            return
        with self.curves.paused():
            loss = validation_loss(stage, self.batches, trainer.precision_plugin.val_step_context())
            best = self.curves.lowest(NAME)
            self.curves.add(NAME, loss, trainer.global_step)
            if self.keep is not None and (best is None or loss < best[0]):
                with stage.averaged_weights():
                    self.keep()

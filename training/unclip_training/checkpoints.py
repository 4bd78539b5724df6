"""Checkpoints: whole or absent, plain data only, refused with a sentence when damaged."""

import os
import pickle
import time
import zipfile
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unclip_pairs.errors import UserError


class Checkpoints(Callback):
    """Writes `last.ckpt` every `seconds`, under a temporary name first; a kill at any moment leaves the old or the new one."""

    def __init__(self, path: Path, seconds: float = 20.0) -> None:
        self.path, self.seconds = path, seconds
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """Saves when it is time; with several processes, the first one's clock decides."""
        if trainer.world_size > 1 and trainer.global_step % 10:
            return
        due = time.monotonic() - self.saved_at >= self.seconds
        if trainer.world_size > 1:
            due = bool(trainer.strategy.broadcast(due))
        if due:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last state of all, so that a kill while samples are drawn costs no step."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Every process takes part; the first one renames."""
        part = self.path.with_name(f".part-{self.path.name}")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self.path)
        self.saved_at = time.monotonic()


def read_checkpoint(path: Path) -> dict[str, object] | None:
    """The checkpoint's content, or None when there is none; `UserError` when it cannot be read. Nothing in it is executed."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if missing := {"global_step", "state_dict", "unclip"} - set(content):
            raise KeyError(f"no {min(missing)}")
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the checkpoint {path} is damaged ({reason}); move it aside to train from the start, then run the same command again"
        ) from error
    return content

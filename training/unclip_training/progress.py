"""What a person sees while a stage trains: a bar with the time left, or a line now and then."""

import sys
import time
from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 3.0


def line(stage: str, step: int, steps: int, loss: float, eta: float) -> str:
    """`unclip-progress stage=decoder step=120/4000 loss=0.0512 eta=63s`: what other processes read."""
    return f"unclip-progress stage={stage} step={step}/{steps} loss={loss:.4f} eta={eta:.0f}s"


def say(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def last_loss(stage: LightningModule) -> float:
    """The loss of the latest step, NaN before the first."""
    return float(getattr(stage, "last_loss", float("nan")))


class Lines:
    """The same lines from a plain loop."""

    def __init__(self, stage: str, steps: int, write: Callable[[str], None] = say) -> None:
        self.stage, self.steps, self.write = stage, steps, write
        self.started = self.last = time.monotonic()

    def at(self, step: int, loss: float) -> None:
        """Says where the loop is, at most every few seconds and at the last step."""
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES or step == self.steps:
            self.last = now
            self.write(line(self.stage, step, self.steps, loss, (now - self.started) / step * (self.steps - step)))


class ProgressLines(Callback):
    """A plain line every few seconds, for logs and for the process that started this one."""

    def __init__(self, stage: str, write: Callable[[str], None] = say) -> None:
        self.stage, self.write = stage, write
        self.first_step, self.started, self.last = 0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time is counted from here, so that a resumed training estimates rightly."""
        self.first_step, self.started = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """Says where the training is, at most every few seconds and at the last step."""
        now, step, steps = time.monotonic(), trainer.global_step, trainer.max_steps
        if not trainer.is_global_zero or (now - self.last < SECONDS_BETWEEN_LINES and step < steps):
            return
        self.last = now
        done = max(step - self.first_step, 1)
        self.write(line(self.stage, step, steps, last_loss(pl_module), (now - self.started) / done * (steps - step)))


class ProgressBar(Callback):
    """A bar with the step, the loss, and the time gone and left."""

    def __init__(self, stage: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"))
        self.progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn())
        self.task = self.progress.add_task(stage, start=False, loss=float("nan"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bar appears, at the step that a checkpoint left."""
        if trainer.is_global_zero:
            self.progress.start()
            self.progress.update(self.task, total=trainer.max_steps, completed=trainer.global_step)
            self.progress.start_task(self.task)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """One step on."""
        self.progress.update(self.task, completed=trainer.global_step, loss=last_loss(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bar stays, full."""
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The terminal is given back."""
        self.progress.stop()


def progress_callback(stage: str) -> Callback:
    """A bar where a person watches a terminal, plain lines elsewhere."""
    return ProgressBar(stage) if sys.stdout.isatty() else ProgressLines(stage)

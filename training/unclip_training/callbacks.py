"""What is watched while a stage trains: curves, sample grids, and the noise of each step made repeatable."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unclip_pairs.images import encode_png
from unclip_pairs.store import Store
from unclip_training.stages.base import Stage
from unclip_training.tracking import Point, Tracker

POINT_EVERY = 10
SEND_EVERY = 50


class SeededSteps(Callback):
    """Seeds torch before each step from (seed, step, process), so that a resumed training draws the very noise it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Before the loss is computed."""
        seed = (self.seed * 1_000_003 + trainer.global_step) * 1_009 + trainer.global_rank
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would take milliseconds to note where it was called from
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)


class Curves(Callback):
    """Loss, learning rate, speed, share of time spent waiting for data, memory and processor, every few steps."""

    def __init__(self, batch_size: int, tracker: Tracker | None) -> None:
        self.batch_size, self.tracker = batch_size, tracker
        self.points: list[Point] = []
        self.sent = 0
        self.losses: list[float] = []
        self.process = psutil.Process()
        self.window_from = self.waiting_from = time.monotonic()
        self.waited = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clocks start when the first batch is asked for."""
        self.process.cpu_percent()
        self.window_from = self.waiting_from = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """The wait for this batch is over."""
        self.waited += time.monotonic() - self.waiting_from

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """Takes a point when it is time, and sends what has gathered now and then."""
        assert isinstance(pl_module, Stage)
        self.losses.append(pl_module.last_loss)
        step = trainer.global_step
        if step % POINT_EVERY == 0 or step == trainer.max_steps:
            self._take(step, float(trainer.optimizers[0].param_groups[0]["lr"]))
        if step % SEND_EVERY == 0 or step == trainer.max_steps:
            self._send()
        self.waiting_from = time.monotonic()

    def _take(self, step: int, rate: float) -> None:
        now = time.monotonic()
        seconds, stamp = max(now - self.window_from, 1e-9), int(time.time() * 1000)
        values = {
            "loss": sum(self.losses) / len(self.losses),
            "lr": rate,
            "samples_per_s": len(self.losses) * self.batch_size / seconds,
            "data_wait_share": self.waited / seconds,
            "rss_mb": self.process.memory_info().rss / 2**20,
            "cpu_percent": self.process.cpu_percent(),
        }
        self.points += [(name, value, stamp, step) for name, value in values.items()]
        self.losses, self.waited, self.window_from = [], 0.0, now

    def add(self, name: str, value: float, step: int) -> None:
        """A point of another curve, sent with the next ones."""
        self.points.append((name, value, int(time.time() * 1000), step))

    def last(self, name: str) -> float:
        """The latest finite value of a curve; 0 while it has none."""
        return next((value for of, value, _, _ in reversed(self.points) if of == name and math.isfinite(value)), 0.0)

    def lowest(self, name: str) -> tuple[float, int] | None:
        """The lowest value of a curve and the first step that had it; None while it has no point."""
        return min(((value, step) for of, value, _, step in self.points if of == name and math.isfinite(value)), default=None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The block's time counts neither as training nor as waiting."""
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self.window_from, self.waiting_from = self.window_from + seconds, self.waiting_from + seconds

    def _send(self) -> None:
        if self.tracker is not None:
            self.tracker.points(self.points[self.sent :])
        self.sent = len(self.points)

    def state_dict(self) -> dict[str, list[list[str | float | int]]]:
        """The curves so far, as plain data: they survive a kill."""
        return {"points": [list(point) for point in self.points]}

    def load_state_dict(self, state_dict: dict[str, list[list[str | float | int]]]) -> None:
        """Goes on where the checkpoint stopped; MLflow has those points already."""
        self.points = [(str(name), float(value), int(stamp), int(step)) for name, value, stamp, step in state_dict["points"]]
        self.sent = len(self.points)


class SampleGrids(Callback):
    """Paints `samples/step000100.png` every `every` steps with the averaged weights."""

    def __init__(self, store: Store, folder: str, every: int, tracker: Tracker | None) -> None:
        self.store, self.folder, self.every, self.tracker = store, folder, every, tracker

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        """At every multiple of `every`, but for the last step, which `on_train_end` paints."""
        if trainer.global_step % self.every == 0 and trainer.global_step < trainer.max_steps:
            self._paint(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the finished stage can do."""
        self._paint(trainer, pl_module)

    def _paint(self, trainer: Trainer, stage: LightningModule) -> None:
        assert isinstance(stage, Stage)
        if not trainer.is_global_zero:
            return
        with stage.averaged_weights():
            image = stage.paint()
        if image is not None:
            name = f"{self.folder}/samples/step{trainer.global_step:06d}.png"
            self.store.write_bytes(name, encode_png(image))
            if self.tracker is not None:
                self.tracker.picture(Path(self.store.path(name)), "samples")

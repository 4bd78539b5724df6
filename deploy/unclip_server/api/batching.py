"""Batcher: one thread that paints, behind a short queue, several requests of one kind at a time."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from PIL import Image

from unclip_server.service import Paint

Pictures = list[Image.Image]


class QueueFull(Exception):
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class Job:
    """What one request asks for: a picture per prompt and seed, all of one size. `pictures` is cancelled when nobody waits any more."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    size: int
    guidance: float | None
    pictures: "Future[Pictures]" = field(default_factory=Future[Pictures])

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.seeds) > 0

    @property
    def kind(self) -> tuple[int, float | None]:
        """Jobs of one kind can be painted in one call."""
        return self.size, self.guidance


class Batcher:
    """`submit` hands a job over and gives its future; the thread paints waiting jobs of one kind together, up to `max_batch` pictures."""

    def __init__(self, paint: Paint, max_waiting: int = 64, max_batch: int = 10) -> None:
        self.paint, self.max_waiting, self.max_batch = paint, max_waiting, max_batch
        self.batches_painted = 0
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Lets the batch at work end, cancels what waits, ends the thread."""
        with self._changed:
            self._closed = True
            for job in self._waiting:
                job.pictures.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    def submit(self, job: Job) -> "Future[Pictures]":
        """The future of the job's pictures, in the order of its seeds; `QueueFull` when too many wait or the server is stopping."""
        with self._changed:
            self._waiting = [waiting for waiting in self._waiting if not waiting.pictures.cancelled()]
            if self._closed or len(self._waiting) >= self.max_waiting:
                raise QueueFull
            self._waiting.append(job)
            self._changed.notify_all()
        return job.pictures

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._paint(batch)

    def _next_batch(self) -> list[Job] | None:
        """The oldest job and every later one of its kind that still fits; None when the server is stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._waiting))
            if self._closed:
                return None
            chosen, room = list[Job](), self.max_batch
            for job in self._waiting:
                if not chosen or (job.kind == chosen[0].kind and len(job.seeds) <= room):
                    chosen.append(job)
                    room -= len(job.seeds)
            self._waiting = [job for job in self._waiting if job not in chosen]
        return [job for job in chosen if job.pictures.set_running_or_notify_cancel()]

    def _paint(self, batch: list[Job]) -> None:
        prompts = [prompt for job in batch for prompt in job.prompts]
        seeds = [seed for job in batch for seed in job.seeds]
        try:
            painted = self.paint(prompts, seeds, *batch[0].kind)
            assert len(painted) == len(seeds), "the painter must give one picture for each seed"
        except BaseException as error:  # handed to those who wait; the thread must live on for the next
            for job in batch:
                job.pictures.set_exception(error)
            return
        self.batches_painted += 1
        for job in batch:
            job.pictures.set_result(painted[: len(job.seeds)])
            del painted[: len(job.seeds)]

"""Batcher: one thread that paints, behind a short queue, several requests of one kind at a time."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from PIL import Image

from unclip_server.service import PictureRequest

Pictures = list[Image.Image]
PaintTogether = Callable[[Sequence[PictureRequest]], Pictures]
"""Requests of one kind to their pictures, in the order of the requests and their seeds."""


class QueueFull(Exception):
    """As many requests wait as may wait."""


@dataclass(frozen=True, eq=False)
class Job:
    """An admitted request and its pictures to come, which are cancelled when nobody waits any more. Equal to itself only."""

    request: PictureRequest
    pictures: "Future[Pictures]" = field(default_factory=Future[Pictures])

    @property
    def num_pictures(self) -> int:
        """How many pictures are asked for."""
        return len(self.request.seeds)


class Batcher:
    """`submit` hands a job over and gives its future; the thread paints waiting jobs of one kind together, up to `max_batch` pictures."""

    def __init__(self, paint: PaintTogether, max_waiting: int = 64, max_batch: int = 10) -> None:
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
                if not chosen or (job.request.kind == chosen[0].request.kind and job.num_pictures <= room):
                    chosen.append(job)
                    room -= job.num_pictures
            self._waiting = [job for job in self._waiting if job not in chosen]
        return [job for job in chosen if job.pictures.set_running_or_notify_cancel()]

    def _paint(self, batch: list[Job]) -> None:
        try:
            painted = self.paint([job.request for job in batch])
            assert len(painted) == sum(job.num_pictures for job in batch), "the painter must give one picture for each seed"
        except BaseException as error:  # handed to those who wait; the thread must live on for the next
            for job in batch:
                job.pictures.set_exception(error)
            return
        self.batches_painted += 1
        for job in batch:
            job.pictures.set_result(painted[: job.num_pictures])
            del painted[: job.num_pictures]

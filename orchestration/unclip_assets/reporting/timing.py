"""Timing of the story's steps inside the assets, reported to a listener."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

ASSETS_PER_STEP = {
    "starter": 1,
    "crawl": 1,
    "score": 5,
    "decide": 2,
    "clip": 1,
    "embed": 2,
    "dedupe": 1,
    "publish": 1,
    "prior": 1,
    "decoder": 1,
    "upsampler_256": 1,
    "upsampler_1024": 1,
    "judge": 1,
    "bundle": 1,
    "evaluate": 1,
    "release": 2,
}
"""The steps in the order of the story, each with the number of assets that belong to it."""


class TimingListener(Protocol):
    """What is called as the assets run: the demo's progress lines, for one."""

    def began(self, step: str) -> None: ...

    def moved(self, step: str, done: int, total: int | None, message: str) -> None: ...

    def ended(self, step: str, seconds: float) -> None: ...


class SilentListener:
    """The listener of a run that nobody watches: Dagster's own event log says enough."""

    def began(self, step: str) -> None:
        """Nothing."""

    def moved(self, step: str, done: int, total: int | None, message: str) -> None:
        """Nothing."""

    def ended(self, step: str, seconds: float) -> None:
        """Nothing."""


@dataclass
class TimedStep:
    """One asset's part of a step, with its clock."""

    name: str
    listener: TimingListener
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since this part began."""
        return time.monotonic() - self.began

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """What the floors below call while they work."""
        self.listener.moved(self.name, done, total, message)


@dataclass(frozen=True)
class Timer:
    """The resource that every asset times itself with."""

    listener: TimingListener = field(default_factory=SilentListener)

    @contextmanager
    def step(self, name: str) -> Iterator[TimedStep]:
        """Times the block as a part of step `name`, one of `ASSETS_PER_STEP`."""
        assert name in ASSETS_PER_STEP, name
        self.listener.began(name)
        part = TimedStep(name, self.listener)
        try:
            yield part
        finally:
            self.listener.ended(name, part.seconds)

"""Clock of the story: it times each act inside the assets and tells whoever listens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

SHARES = {
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
"""The acts in the order of the story, each with the number of assets that share it."""


class Listener(Protocol):
    """Hears what the assets do: the demo's progress lines, for one."""

    def began(self, act: str) -> None: ...

    def moved(self, act: str, done: int, total: int | None, message: str) -> None: ...

    def ended(self, act: str, seconds: float) -> None: ...


class Silence:
    """The listener of a run that nobody watches: Dagster's own event log says enough."""

    def began(self, act: str) -> None:
        """Nothing."""

    def moved(self, act: str, done: int, total: int | None, message: str) -> None:
        """Nothing."""

    def ended(self, act: str, seconds: float) -> None:
        """Nothing."""


@dataclass
class Act:
    """One asset's share of an act, with its clock."""

    name: str
    listener: Listener
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since this share began."""
        return time.monotonic() - self.began

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """What the floors below call while they work."""
        self.listener.moved(self.name, done, total, message)


@dataclass(frozen=True)
class Acts:
    """The resource that every asset times itself with."""

    listener: Listener = field(default_factory=Silence)

    @contextmanager
    def act(self, name: str) -> Iterator[Act]:
        """Times the block as a share of act `name`, one of `SHARES`."""
        assert name in SHARES, name
        self.listener.began(name)
        share = Act(name, self.listener)
        try:
            yield share
        finally:
            self.listener.ended(name, share.seconds)

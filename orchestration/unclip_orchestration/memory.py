"""Memory gauge: the largest sum of resident memory of this process and all it started."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

INTERVAL_S = 1.0


@dataclass
class Gauge:
    """The peak so far; pages that processes share are counted for each of them, so it errs upwards."""

    peak_bytes: int = 0

    @property
    def peak_mb(self) -> float:
        """The peak in megabytes of 2**20 bytes."""
        return round(self.peak_bytes / 2**20, 1)

    def read(self) -> None:
        """Looks once."""
        total, me = 0, psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                total += process.memory_info().rss
        self.peak_bytes = max(self.peak_bytes, total)


@contextmanager
def gauged() -> Iterator[Gauge]:
    """Looks once a second while the block runs."""
    gauge, over = Gauge(), threading.Event()

    def watch() -> None:
        gauge.read()
        while not over.wait(INTERVAL_S):
            gauge.read()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield gauge
    finally:
        over.set()
        watcher.join()

"""Seam to the engine: where work over pieces runs. Here are this machine's processes; `ray_engine.py` is a Ray cluster.

Work is a function of a piece that stores its result as a file named by what it is made of, so it may run twice, anywhere, and be killed.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Protocol, TypeVar

Piece = TypeVar("Piece")
Work = Callable[[Piece], int]
Load = Callable[[], Work[Piece]]


class Engine(Protocol):
    """Somewhere to run work over pieces."""

    def run(self, load: Load[Piece], pieces: Sequence[Piece], /) -> Iterator[int]:
        """What the function that `load` gives says of each piece (rows done), as the pieces end, in any order.

        `load` runs once per worker. It and the pieces travel, so they are a module's function or a partial of one, and plain data. An error
        of the work ends the run; what was stored stays.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """So many processes on this machine; one means this very process."""

    count: int = 2

    def run(self, load: Load[Piece], pieces: Sequence[Piece], /) -> Iterator[int]:
        if self.count <= 1 or len(pieces) <= 1:
            return map(load(), pieces)
        return _in_processes(load, pieces, min(self.count, len(pieces)))


def engine_of(workers: Engine | int) -> Engine:
    """An engine as it is; a number as so many processes."""
    return Processes(workers) if isinstance(workers, int) else workers


def _in_processes(load: Load[Piece], pieces: Sequence[Piece], count: int) -> Iterator[int]:
    """Processes, not threads: onnxruntime 1.32 holds the interpreter while a network runs."""
    with ProcessPoolExecutor(count, get_context("spawn"), _start_worker, (load,)) as pool:
        futures = [pool.submit(_work, piece) for piece in pieces]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_loaded: list[Callable[..., int]] = []


def _start_worker(load: Load[Piece]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _loaded.append(load())


def _end_with_parent() -> None:
    """A parent that is killed leaves no worker behind."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _work(piece: object) -> int:
    return _loaded[0](piece)

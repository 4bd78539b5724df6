"""This file is progress: how long work says how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int | None, str], None]


def no_progress(done: int, total: int | None, message: str) -> None:
    """Takes progress and shows nothing."""

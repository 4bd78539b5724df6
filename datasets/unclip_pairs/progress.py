"""Progress: how long work says how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called during long work, now and then."""

    def __call__(self, done: int, total: int | None, message: str = "", /) -> None:
        """`done` of `total` units are finished (`total` is None while it is not known yet); `message` is a few words."""


def silent(done: int, total: int | None, message: str = "") -> None:
    """A progress that says nothing."""

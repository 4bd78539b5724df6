"""Progress lines: one per act, live on a terminal, plain elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import progress as bars
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn

from unclip_assets.timing import SHARES
from unclip_pairs.progress import Progress


@dataclass
class Tally:
    """How many shares of each act are over, and the seconds they took."""

    seconds: dict[str, float] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)

    def add(self, act: str, seconds: float) -> bool:
        """Counts one share; whether it was the act's last."""
        self.seconds[act] = self.seconds.get(act, 0.0) + seconds
        self.over[act] = self.over.get(act, 0) + 1
        return self.over[act] == SHARES[act]


@dataclass
class PlainLines:
    """A line when an act is over: for logs and pipes."""

    tally: Tally = field(default_factory=Tally)
    last: dict[str, str] = field(default_factory=dict)

    def began(self, act: str) -> None:
        """Says what is at work, for an act that may take long."""
        if act not in self.tally.over:
            self.say(f"{act:>15}  ...")

    def moved(self, act: str, done: int, total: int | None, message: str) -> None:
        """Keeps the last word for the closing line."""
        self.last[act] = f"{done}/{total} {message}" if total else f"{done} {message}"

    def ended(self, act: str, seconds: float) -> None:
        """One line per act."""
        if self.tally.add(act, seconds):
            self.say(f"{act:>15}  {self.tally.seconds[act]:8.1f} s  {self.last.get(act, '')}".rstrip())

    def say(self, line: str) -> None:
        """Straight to standard error, at once."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass
class LiveLines:
    """A line with a bar per act: for people."""

    display: bars.Progress
    tally: Tally = field(default_factory=Tally)
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def began(self, act: str) -> None:
        """The act's line appears, or moves again."""
        if act not in self.tasks:
            self.tasks[act] = self.display.add_task(act, total=None, took="", message="")

    def moved(self, act: str, done: int, total: int | None, message: str) -> None:
        """The bar and the words."""
        self.display.update(self.tasks[act], completed=done, total=total, message=message)

    def ended(self, act: str, seconds: float) -> None:
        """The seconds; the bar is full with the last share."""
        over = self.tally.add(act, seconds)
        took = f"{self.tally.seconds[act]:.1f} s"
        self.display.update(self.tasks[act], took=took)
        if over:
            self.display.update(self.tasks[act], total=1, completed=1)


Lines = PlainLines | LiveLines


@contextmanager
def lines(console: Console) -> Iterator[Lines]:
    """The listener that fits where standard error goes to."""
    if not console.is_terminal:
        yield PlainLines()
        return
    columns = ("{task.description:>15}", "{task.fields[took]:>9}", "{task.fields[message]}")
    act, took, message = (TextColumn(column) for column in columns)
    with bars.Progress(SpinnerColumn(finished_text="✓"), act, BarColumn(24), took, message, console=console) as display:
        yield LiveLines(display)


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], Progress]]:
    """A function that begins a step of a job and gives its progress; drawn on a terminal only."""
    columns = (TextColumn("{task.description:>24}"), BarColumn(24), TextColumn("{task.completed:,.0f}"))
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as display:

        def begin(name: str) -> Progress:
            task = display.add_task(name, total=None)
            return lambda done, total, message="": display.update(task, completed=done, total=total)

        yield begin

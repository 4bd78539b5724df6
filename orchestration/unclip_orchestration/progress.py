"""Progress lines: one per step, live on a terminal, plain elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich import progress as bars
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn

from unclip_assets.reporting.timing import ASSETS_PER_STEP
from unclip_pairs.progress import Progress


@dataclass
class StepTimes:
    """How many parts of each step are over, and the seconds they took."""

    seconds: dict[str, float] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)

    def add(self, step: str, seconds: float) -> bool:
        """Counts one part; whether it was the step's last."""
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        self.over[step] = self.over.get(step, 0) + 1
        return self.over[step] == ASSETS_PER_STEP[step]


@dataclass
class PlainLines:
    """A line when a step is over: for logs and pipes."""

    times: StepTimes = field(default_factory=StepTimes)
    last: dict[str, str] = field(default_factory=dict)

    def began(self, step: str) -> None:
        """Says what is at work, for a step that may take long."""
        if step not in self.times.over:
            self.say(f"{step:>15}  ...")

    def moved(self, step: str, done: int, total: int | None, message: str) -> None:
        """Keeps the last word for the closing line."""
        self.last[step] = f"{done}/{total} {message}" if total else f"{done} {message}"

    def ended(self, step: str, seconds: float) -> None:
        """One line per step."""
        if self.times.add(step, seconds):
            self.say(f"{step:>15}  {self.times.seconds[step]:8.1f} s  {self.last.get(step, '')}".rstrip())

    def say(self, line: str) -> None:
        """Straight to standard error, at once."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass
class LiveLines:
    """A line with a bar per step: for people."""

    display: bars.Progress
    times: StepTimes = field(default_factory=StepTimes)
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def began(self, step: str) -> None:
        """The step's line appears, or moves again."""
        if step not in self.tasks:
            self.tasks[step] = self.display.add_task(step, total=None, took="", message="")

    def moved(self, step: str, done: int, total: int | None, message: str) -> None:
        """The bar and the words."""
        self.display.update(self.tasks[step], completed=done, total=total, message=message)

    def ended(self, step: str, seconds: float) -> None:
        """The seconds; the bar is full with the last part."""
        over = self.times.add(step, seconds)
        took = f"{self.times.seconds[step]:.1f} s"
        self.display.update(self.tasks[step], took=took)
        if over:
            self.display.update(self.tasks[step], total=1, completed=1)


Lines = PlainLines | LiveLines


@contextmanager
def lines(console: Console) -> Iterator[Lines]:
    """The listener that fits where standard error goes to."""
    if not console.is_terminal:
        yield PlainLines()
        return
    columns = ("{task.description:>15}", "{task.fields[took]:>9}", "{task.fields[message]}")
    step, took, message = (TextColumn(column) for column in columns)
    with bars.Progress(SpinnerColumn(finished_text="✓"), step, BarColumn(24), took, message, console=console) as display:
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


@contextmanager
def stages(console: Console) -> Iterator[Progress]:
    """A progress whose messages are stages, one after the other: a bar on a terminal, elsewhere a line when a stage begins."""
    if not console.is_terminal:
        seen = set[str]()

        def say(done: int, total: int | None, message: str = "") -> None:
            if message not in seen:
                seen.add(message)
                console.print(f"{message} ...", highlight=False, markup=False)

        yield say
        return
    columns = (SpinnerColumn(), TextColumn("{task.description:<40}", markup=False), BarColumn(24))
    with bars.Progress(*columns, console=console, transient=True) as display:
        task = display.add_task("", total=None)
        yield lambda done, total, message="": display.update(task, completed=done, total=total, description=message)

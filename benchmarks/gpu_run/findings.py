"""Findings of a GPU run: figures.json, written anew after every figure, and the guard that keeps one failure from ending the run."""

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from unclip_pairs.json_value import JsonValue

FILE = "figures.json"


class CheckFailed(Exception):
    """What a check found wrong, as a sentence."""


@dataclass
class Findings:
    """Figures by part, in `out`/figures.json, and the clock of the whole run."""

    out: Path
    minutes: float
    began: float = field(default_factory=time.monotonic)
    figures: dict[str, dict[str, JsonValue]] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the run should be over."""
        return self.minutes * 60 - (time.monotonic() - self.began)

    def put(self, part: str, **figures: JsonValue) -> None:
        """Adds figures to a part, says them, and writes the file."""
        self.figures.setdefault(part, {}).update(figures)
        print(f"figure {part} " + " ".join(f"{name}={_short(value)}" for name, value in figures.items()), flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        unfinished = self.out / f".part-{FILE}"
        unfinished.write_text(json.dumps(self.figures, indent=1) + "\n")
        unfinished.replace(self.out / FILE)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Runs the block as a part: its seconds, and how it ended; what it raises is reported and goes no further."""
        began = time.monotonic()
        try:
            yield
        except CheckFailed as failure:
            self.put(name, failed=str(failure))
        except Exception as error:  # whatever breaks, the parts after it still run
            traceback.print_exc()
            self.put(name, failed=f"{type(error).__name__}: {str(error).strip()[:500]}")
        else:
            self.put(name, failed=None)
        finally:
            self.put(name, seconds=round(time.monotonic() - began, 2))

    def failures(self) -> list[str]:
        """The names of the parts that failed."""
        return [name for name, figures in self.figures.items() if figures.get("failed")]


def _short(value: JsonValue) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

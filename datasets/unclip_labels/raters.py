"""What is good for raters and for their answers: when to rest, how far they are, and how well two of them agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations

from unclip_labels.label_store import DISPUTED, NO, UNSURE, YES, Item

PAUSE = timedelta(minutes=5)


@dataclass(frozen=True)
class RestAdvice:
    """After how many minutes or answers without a pause of five minutes a break is due."""

    minutes: float = 25.0
    answers: int = 120

    def is_break_due(self, answered: Sequence[datetime], at: datetime) -> bool:
        """Whether who answered at these times (the oldest first) should rest at `at`."""
        run, later = list[datetime](), at
        for time in reversed(answered):
            if later - time >= PAUSE:
                break
            run.append(time)
            later = time
        return len(run) >= self.answers or (len(run) > 1 and at - run[-1] >= timedelta(minutes=self.minutes))


@dataclass(frozen=True)
class LabellingProgress:
    """How many pictures a rater has answered, and how many wait for an answer of his."""

    answered: int
    waiting: int


def progress(items: Iterable[Item], rater: str) -> LabellingProgress:
    """Where the rater stands."""
    answered = waiting = 0
    for item in items:
        answered += rater in item.labels
        waiting += item.is_open and rater not in item.labels
    return LabellingProgress(answered, waiting)


@dataclass(frozen=True)
class Agreement:
    """How two raters' answers to the same pictures compare. Pictures of which one was not sure do not count."""

    raters: tuple[str, str]
    shared: int
    same: int
    kappa: float | None
    """Cohen's kappa (1960): 1 is full agreement, 0 what chance would give; None when chance alone explains all of it."""


def agreements(items: Sequence[Item]) -> list[Agreement]:
    """One for each two raters who answered the same picture, those with most pictures first."""
    raters = sorted({rater for item in items for rater in item.labels})
    found = [_agreement(items, pair) for pair in combinations(raters, 2)]
    return sorted((one for one in found if one.shared), key=lambda one: -one.shared)


def _agreement(items: Sequence[Item], pair: tuple[str, str]) -> Agreement:
    both = [(item.labels[pair[0]], item.labels[pair[1]]) for item in items if pair[0] in item.labels and pair[1] in item.labels]
    sure = [answers for answers in both if UNSURE not in answers]
    return Agreement(pair, len(sure), sum(a == b for a, b in sure), cohen_kappa(sure))


def cohen_kappa(answers: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance of two raters; None without answers, or when both gave one and the same answer throughout."""
    if not answers:
        return None
    total = len(answers)
    observed = sum(a == b for a, b in answers) / total
    shares = [(sum(a == value for a, _ in answers) / total, sum(b == value for _, b in answers) / total) for value in (YES, NO)]
    expected = sum(a * b for a, b in shares)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def disputed(items: Iterable[Item]) -> list[Item]:
    """The pictures on which raters disagree: a further rater is asked."""
    return [item for item in items if item.consensus == DISPUTED]

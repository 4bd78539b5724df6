"""Comparison: a painted set of prompts beside real pictures, means of others and the nearest training pictures, by the same judge."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.baselines import LabelledSet, means_of_others, real_places
from unclip_evaluation.checkers.checks import CHECKS, Answers, Checker, contradicted
from unclip_evaluation.distances import nearest
from unclip_evaluation.figures import CheckerFigures, Compared, ProbeFigures, Rate, SetFigures, rate
from unclip_evaluation.probes.probes import Probes
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.regurgitation import distribution
from unclip_training.judging.mobilenet import features

AMONG = 5
MOST_CHECKED = 200  # real pictures that each check is tried on


@dataclass(frozen=True)
class Row:
    """Pictures (uint8 [N, 128, 128, 3]) with their features (float32 [N, 1280]), and the labels that they are judged by."""

    pictures: NDArray[np.uint8]
    features: NDArray[np.float32]
    labels: list[Label]


@dataclass(frozen=True)
class Judged:
    """What the judge says of a row: bool [N] by the probes, and the answers to the checks of each picture."""

    concept_at_1: NDArray[np.bool_]
    concept_at_5: NDArray[np.bool_]
    style: NDArray[np.bool_]
    answers: list[Answers]

    def check(self, name: str) -> Rate:
        """How often the check passes, of those pictures that are asked; undecided is no pass."""
        return rate([found[name].verdict == "pass" for found in self.answers if name in found])


@dataclass(frozen=True)
class Judges:
    """The probes and the checks."""

    probes: Probes
    checker: Checker

    def judge(self, row: Row) -> Judged:
        """A composed scene hits its concept with any of its things."""
        concepts = [label.concepts for label in row.labels]
        return Judged(
            self.probes.concept.hits(row.features, concepts),
            self.probes.concept.hits(row.features, concepts, AMONG),
            self.probes.style.hits(row.features, [{label.style} for label in row.labels]),
            self.checker.answers(row.pictures, row.labels),
        )


@dataclass(frozen=True)
class Sources:
    """The splits that the rows are taken from; `validation` is None in a version without one."""

    train: LabelledSet
    held_out: LabelledSet
    validation: LabelledSet | None


def real_row(prompts: Sequence[Prompt], sources: Sources) -> Row:
    """Real pictures: held-out ones for unseen prompts, validation ones for seen prompts; fewer than prompts where none fits."""
    parts = [
        _taken(source, [place for _, place in real_places([prompt for prompt in prompts if prompt.seen is seen], source.labels)])
        for seen, source in ((False, sources.held_out), (True, sources.validation))
        if source is not None
    ]
    return Row(
        np.concatenate([part.pictures for part in parts]),
        np.concatenate([part.features for part in parts]),
        [label for part in parts for label in part.labels],
    )


def _taken(source: LabelledSet, places: Sequence[int]) -> Row:
    labels = [label for place in places if (label := source.labels[place]) is not None]
    return Row(source.pictures(places), source.reference.features[list(places)], labels)


def painted_row(prompts: Sequence[Prompt], pictures: NDArray[np.uint8]) -> Row:
    """The pictures of these prompts (uint8 [N, 128, 128, 3], in their order), to be judged by what was asked."""
    return Row(pictures, features(pictures), [prompt.label for prompt in prompts])


def compared_set(prompts: Sequence[Prompt], seen: Row, sources: Sources, judges: Judges) -> SetFigures:
    """The figures of a set of prompts and what was painted for them."""
    labels = seen.labels
    floor = means_of_others(prompts, sources.train)
    places, cosines = nearest(seen.features, sources.train.reference.features)
    copies = Row(sources.train.pictures(places), sources.train.reference.features[places], labels)
    rows = [judges.judge(row) for row in (seen, real_row(prompts, sources), Row(floor, features(floor), labels), copies)]
    names = [name for name in CHECKS if any(name in found for found in rows[0].answers)]
    return SetFigures(
        num_prompts=len(prompts),
        concept_at_1=_compared([rate(row.concept_at_1) for row in rows]),
        concept_at_5=_compared([rate(row.concept_at_5) for row in rows]),
        style=_compared([rate(row.style) for row in rows]),
        checks={name: _compared([row.check(name) for row in rows]) for name in names},
        undecided={name: reasons for name in names if (reasons := _undecided(rows[0].answers, name))},
        nearest_train=distribution(cosines),
    )


def _compared(rates: Sequence[Rate]) -> Compared:
    painted, real, floor, copying = rates
    return Compared(painted=painted, real=real, floor=floor, copying=copying)


def _undecided(answers: Sequence[Answers], name: str) -> dict[str, int]:
    return dict(Counter(found[name].reason for found in answers if name in found and found[name].verdict == "undecided"))


def probe_figures(probes: Probes, sources: Sources) -> ProbeFigures:
    """The probes' own accuracy on pictures that they did not learn from."""
    split, source = ("validation", sources.validation) if sources.validation else ("held_out", sources.held_out)
    known = [(place, label) for place, label in enumerate(source.labels) if label is not None]
    single = [(place, label) for place, label in known if label.is_single]
    features = source.reference.features
    concepts = [label.concepts for _, label in single]
    return ProbeFigures(
        split=split,
        concept_at_1=rate(probes.concept.hits(features[[place for place, _ in single]], concepts)),
        concept_at_5=rate(probes.concept.hits(features[[place for place, _ in single]], concepts, AMONG)),
        style=rate(probes.style.hits(features[[place for place, _ in known]], [{label.style} for _, label in known])),
        num_concepts=len(probes.concept.classes),
        num_styles=len(probes.style.classes),
    )


def checker_figures(checker: Checker, sources: Sources) -> dict[str, CheckerFigures]:
    """Each check on real validation and held-out pictures: asked what they show, and asked something else."""
    known = [
        (source, place, label)
        for source in (sources.validation, sources.held_out)
        if source is not None
        for place, label in enumerate(source.labels)
        if label is not None
    ]
    found: dict[str, CheckerFigures] = {}
    for name in CHECKS:
        cases = [case for case in known if name in checker.asked(case[2])]
        cases = cases[:: -(-len(cases) // MOST_CHECKED)] if cases else []
        if cases:
            pictures, labels = np.concatenate([source.pictures([place]) for source, place, _ in cases]), [label for _, _, label in cases]
            wrong = [contradicted(label, name, checker, _others(label, labels)) for label in labels]
            found[name] = CheckerFigures(right=_passes(checker, name, pictures, labels), wrong=_passes(checker, name, pictures, wrong))
    return found


def _others(label: Label, labels: Sequence[Label]) -> list[str]:
    """Two concepts that are not in the picture."""
    others = sorted({concept for other in labels for concept in other.concepts} - label.concepts)
    return others[:2]


def _passes(checker: Checker, name: str, pictures: NDArray[np.uint8], labels: Sequence[Label]) -> Rate:
    answers = checker.answers(pictures, labels)
    return rate([name in found and found[name].verdict == "pass" for found in answers])

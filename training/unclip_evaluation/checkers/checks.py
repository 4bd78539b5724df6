"""Checks: which questions a scene asks of a picture, and the answers, each with its reason.

`background`: the border's colour is nearest to that of the asked one among all backgrounds of the dataset. `tone`: the skin is of the asked
tone, by a probe of the style. `size`: the foreground is on the right side of the middle between small and large. `count`: as many pieces
as things. `order`: cut where least foreground is, each side looks more like its own thing than like the other. `both`: each side's own
concept is among the first five of the probe. Undecided is an answer of its own, and no pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.checkers.calibration import Calibration
from unclip_evaluation.checkers.colours import nearest_name
from unclip_evaluation.checkers.segmentation import Segmented, cut_out, halves, num_parts, segmented
from unclip_evaluation.checkers.tones import tone_features, tone_of
from unclip_evaluation.probes.linear import LinearProbe
from unclip_evaluation.prompts.prompt import Label
from unclip_evaluation.prompts.scene import ABOVE, BESIDE, COUNT, PAIR, PLAIN, SIZES, Scene
from unclip_training.judging.mobilenet import features

Verdict = Literal["pass", "fail", "undecided"]
BACKGROUND, TONE, SIZE, NUMBER, ORDER, BOTH = CHECKS = ("background", "tone", "size", "count", "order", "both")
REACH = 1  # pixels by which pieces grow before they are counted
LEAST_PART = 0.3  # of the largest piece
AMONG = 5


@dataclass(frozen=True)
class CheckAnswer:
    """What a check says, and why."""

    verdict: Verdict
    reason: str


Answers = dict[str, CheckAnswer]


@dataclass(frozen=True)
class Checker:
    """Asks pictures what their scenes say, with what is known of the dataset version."""

    calibration: Calibration
    concept: LinearProbe

    def asked(self, label: Label) -> list[str]:
        """The names of the checks that a picture of this label has to pass."""
        scene = label.scene
        if scene is None:
            return []
        pair = scene.kind == PAIR and scene.relation in (BESIDE, ABOVE) and len(scene.things) == 2
        names = {
            BACKGROUND: scene.kind != PLAIN and len(self.calibration.backgrounds) > 1,
            TONE: tone_of(label) is not None and label.style in self.calibration.tones,
            SIZE: scene.size is not None and scene.is_single and self.calibration.middle_extent is not None,
            NUMBER: scene.kind == COUNT,
            ORDER: pair and scene.things[0].concept != scene.things[1].concept,
            BOTH: pair,
        }
        return [name for name, is_asked in names.items() if is_asked]

    def answers(self, pictures: NDArray[np.uint8], labels: Sequence[Label]) -> list[Answers]:
        """For each picture (uint8 [N, H, W, 3]) the answers to the checks of its label, by name."""
        found = [self._pixel_answers(segmented(picture), label) for picture, label in zip(pictures, labels, strict=True)]
        self._add_pairs(found, pictures, labels)
        return found

    def _pixel_answers(self, scene: Segmented, label: Label) -> Answers:
        questions: dict[str, Callable[[Segmented, Label, Scene], CheckAnswer]] = {
            BACKGROUND: self._background,
            TONE: self._tone,
            SIZE: self._size,
            NUMBER: self._count,
        }
        if label.scene is None:
            return {}
        names = [name for name in self.asked(label) if name in questions]
        return {name: _refusal(scene, name) or questions[name](scene, label, label.scene) for name in names}

    def _background(self, scene: Segmented, label: Label, asked: Scene) -> CheckAnswer:
        found = nearest_name(scene.background_lab, self.calibration.backgrounds)
        return _answer(found == asked.background, f"the border is {found}")

    def _tone(self, scene: Segmented, label: Label, asked: Scene) -> CheckAnswer:
        found = tone_features(scene)
        if found is None:
            return CheckAnswer("undecided", "nothing looks like skin")
        probe = self.calibration.tones[label.style]
        tone = probe.classes[int(probe.scores(found[None]).argmax())]
        return _answer(tone == asked.things[0].tone, f"the skin is {tone}")

    def _size(self, scene: Segmented, label: Label, asked: Scene) -> CheckAnswer:
        assert self.calibration.middle_extent is not None
        found = SIZES[scene.extent > self.calibration.middle_extent]
        return _answer(found == asked.size, f"the thing is {found} ({scene.extent:.2f} of the side)")

    def _count(self, scene: Segmented, label: Label, asked: Scene) -> CheckAnswer:
        found = num_parts(scene.mask, REACH, LEAST_PART)
        return _answer(found == len(asked.things), f"{found} pieces")

    def _add_pairs(self, found: list[Answers], pictures: NDArray[np.uint8], labels: Sequence[Label]) -> None:
        """Adds `order` and `both`, with one call of the network for the cut-out things of all pictures."""
        pairs = [place for place, label in enumerate(labels) if BOTH in self.asked(label)]
        cut = {place: both for place in pairs if (both := _two_things(pictures[place], labels[place])) is not None}
        parts = [part for both in cut.values() for part in both]
        scores = self.concept.scores(features(np.stack(parts))) if parts else np.zeros((0, 1), np.float32)
        rows = {place: scores[2 * row : 2 * row + 2] for row, place in enumerate(cut)}
        for place in pairs:
            for name in (name for name in self.asked(labels[place]) if name in (ORDER, BOTH)):
                answer = (
                    self._pair(name, rows[place], labels[place]) if place in rows else CheckAnswer("undecided", "no two things are apart")
                )
                found[place][name] = answer

    def _pair(self, name: str, scores: NDArray[np.float32], label: Label) -> CheckAnswer:
        assert label.scene is not None
        first, second = self.concept.places([thing.concept for thing in label.scene.things])
        if first is None or second is None:
            return CheckAnswer("undecided", "the probe does not know the concept")
        if name == ORDER:
            lead = float(scores[0, first] + scores[1, second] - scores[0, second] - scores[1, first])
            return _answer(lead > 0, f"the asked order leads by {lead:.2f}")
        places = [int((row > row[one]).sum()) for row, one in zip(scores, (first, second), strict=True)]
        return _answer(max(places) < AMONG, f"places {places[0] + 1} and {places[1] + 1} of the probe")


def _answer(passes: bool, reason: str) -> CheckAnswer:
    return CheckAnswer("pass" if passes else "fail", reason)


def _refusal(scene: Segmented, name: str) -> CheckAnswer | None:
    """Why nothing can be said about the picture, if so."""
    if not scene.is_even:
        return CheckAnswer("undecided", "the border is not of one colour")
    if name != BACKGROUND and not scene.mask.any():
        return CheckAnswer("undecided", "nothing stands out from the background")
    return None


def _two_things(picture: NDArray[np.uint8], label: Label) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The first and the second thing, cut out; None when they are not apart."""
    assert label.scene is not None
    scene = segmented(picture)
    parts = halves(scene.mask, 1 if label.scene.relation == BESIDE else 0) if scene.is_even else None
    return None if parts is None else (cut_out(scene, parts[0]), cut_out(scene, parts[1]))


def contradicted(label: Label, check: str, checker: Checker, others: Sequence[str]) -> Label:
    """The label with what `check` asks replaced by something false; `others` are concepts that are not in the picture."""
    scene = label.scene
    assert scene is not None
    thing = scene.things[0]
    match check:
        case "background":
            wrong = replace(scene, background=_next(scene.background, sorted(checker.calibration.backgrounds)))
        case "tone":
            tones = checker.calibration.tones[label.style].classes
            wrong = replace(scene, things=(replace(thing, tone=_next(str(thing.tone), tones)),))
        case "size":
            wrong = replace(scene, size=_next(str(scene.size), SIZES))
        case "count":
            wrong = replace(scene, things=scene.things[1:] if len(scene.things) > 1 else scene.things * 2)
        case "order":
            wrong = scene.mirrored
        case _:
            wrong = replace(scene, things=tuple(replace(one, concept=other) for one, other in zip(scene.things, others, strict=False)))
    return replace(label, scene=wrong)


def _next(value: str, known: Sequence[str]) -> str:
    return known[(known.index(value) + 1) % len(known)] if value in known else known[0]

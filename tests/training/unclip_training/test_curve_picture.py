"""Tests of the picture of curves: where its lines run."""

import numpy as np

from unclip_training.curve_picture import COLOURS, draw_curves


def heights(curve: list[tuple[int, float]], column: int) -> float:
    """How far down the first curve's line lies in a column of the picture."""
    levels = np.asarray(draw_curves({"loss": curve, "validation_loss": [(0, 1.0), (100, 0.01)]}))[24:, column]
    return float(np.flatnonzero((levels == COLOURS[0]).all(-1)).mean())


def test_a_falling_loss_runs_downwards() -> None:
    curve = [(step, 1.0 - step / 200) for step in range(0, 101, 10)]
    assert heights(curve, 100) < heights(curve, 400) < heights(curve, 650)


def test_a_curve_without_points_and_a_constant_one_are_drawn_too() -> None:
    empty, constant = draw_curves({"loss": []}), draw_curves({"loss": [(5, -1.0)]})
    assert empty.size == constant.size and np.asarray(empty).min() == 255 and np.asarray(constant).min() < 255

"""Picture of curves: the training loss and the validation loss over the steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 24, 28
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44))
GRID, INK = (225, 225, 225), (60, 60, 60)
TICKS = 5

Curve = Sequence[tuple[int, float]]
"""Points (step, value)."""


def draw_curves(curves: Mapping[str, Curve]) -> Image.Image:
    """An RGB picture of the curves that have a point, by name; the values on a logarithmic axis where all are positive."""
    drawn = {name: np.array(sorted(curve), np.float64).reshape(-1, 2) for name, curve in curves.items() if curve}
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    if not drawn:
        return image
    pen, points = ImageDraw.Draw(image), np.concatenate(list(drawn.values()))
    is_log = bool((points[:, 1] > 0).all())
    spans = _span(points[:, 0]), _span(np.log(points[:, 1]) if is_log else points[:, 1])
    _draw_axes(pen, spans, is_log)
    for (name, curve), colour, line in zip(drawn.items(), COLOURS, range(TICKS), strict=False):
        places = _places(curve[:, 0], np.log(curve[:, 1]) if is_log else curve[:, 1], spans)
        pen.line(places, colour, 2)
        for x, y in places if len(places) < 50 else []:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
        pen.text((LEFT + 8 + 180 * line, 6), name, colour)
    return image


def _span(values: NDArray[np.float64]) -> tuple[float, float]:
    """Smallest and largest value, never equal."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _places(
    x: NDArray[np.float64], y: NDArray[np.float64], spans: tuple[tuple[float, float], tuple[float, float]]
) -> list[tuple[float, float]]:
    """Where points lie in the picture."""
    (left, right), (low, high) = spans
    across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def _draw_axes(pen: ImageDraw.ImageDraw, spans: tuple[tuple[float, float], tuple[float, float]], is_log: bool) -> None:
    (left, right), (low, high) = spans
    for x, y in zip(np.linspace(left, right, TICKS), np.linspace(low, high, TICKS), strict=True):
        ((across, down),) = _places(np.array([x]), np.array([y]), spans)
        pen.line((LEFT, down, WIDTH - RIGHT, down), GRID)
        pen.text((4, down - 6), f"{np.exp(y) if is_log else y:.4g}", INK)
        pen.text((across, HEIGHT - BOTTOM + 8), f"{x:.0f}", INK, anchor="ma" if x < right else "ra")

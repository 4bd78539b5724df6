"""Drawings of labelling: the reliability plot, and curves of recall by number of labels."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from unclip_labels.thresholds import Reliability

Point = tuple[float, float]
SIDE, MARGIN = 420, 56
INK, GRID, STRONG = (40, 44, 50), (225, 227, 230), (31, 95, 174)
COLOURS = (STRONG, (200, 90, 30), (60, 140, 70), (130, 80, 160))


def _frame(title: str, across: str, up: str, ends: tuple[float, float]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty chart: `ends` are the values at the right and at the top."""
    image = Image.new("RGB", (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(image)
    for step in range(6):
        place = step * SIDE // 5
        draw.line((MARGIN + place, MARGIN, MARGIN + place, MARGIN + SIDE), fill=GRID)
        draw.line((MARGIN, MARGIN + place, MARGIN + SIDE, MARGIN + place), fill=GRID)
        draw.text((MARGIN + place - 8, MARGIN + SIDE + 6), f"{ends[0] * step / 5:g}", fill=INK)
        draw.text((MARGIN - 30, MARGIN + SIDE - place - 6), f"{ends[1] * step / 5:.1f}", fill=INK)
    draw.text((MARGIN, 18), title, fill=INK, font_size=16)
    draw.text((MARGIN, MARGIN + SIDE + 26), across, fill=INK, font_size=13)
    draw.text((MARGIN, MARGIN - 20), up, fill=INK, font_size=13)
    return image, draw


def _at(point: Point, ends: tuple[float, float]) -> Point:
    return MARGIN + SIDE * min(1.0, point[0] / ends[0]), MARGIN + SIDE * (1 - min(1.0, point[1] / ends[1]))


def reliability_chart(measured: Reliability, title: str) -> Image.Image:
    """The share of yes over the mean score of each bin, with the number of pictures; on the diagonal scores are probabilities."""
    ends = (1.0, 1.0)
    image, draw = _frame(title, "score", "share of yes among held-out labels (number of pictures beside each dot)", ends)
    draw.line((*_at((0, 0), ends), *_at((1, 1), ends)), fill=(150, 155, 160), width=1)
    dots = [_at((score, share), ends) for score, share, _ in measured.bins]
    draw.line([value for dot in dots for value in dot], fill=STRONG, width=2)
    for (x, y), (_, _, number) in zip(dots, measured.bins, strict=True):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=STRONG)
        draw.text((x + 8, y - 16 if y > MARGIN + 20 else y + 6), str(number), fill=INK)
    told = f"expected calibration error {measured.expected_error:.3f}, Brier score {measured.brier:.3f}"
    draw.text((MARGIN, MARGIN + SIDE + 42), told, fill=INK, font_size=13)
    return image


def curves_chart(curves: Mapping[str, Sequence[Point]], title: str, across: str, up: str) -> Image.Image:
    """One line per name through its points; the highest value is 1."""
    ends = (max(x for points in curves.values() for x, _ in points), 1.0)
    image, draw = _frame(title, across, up, ends)
    for place, (name, points) in enumerate(curves.items()):
        colour = COLOURS[place % len(COLOURS)]
        draw.line([value for point in points for value in _at(point, ends)], fill=colour, width=2)
        draw.text((MARGIN + SIDE - 170, MARGIN + SIDE - 24 * (len(curves) - place)), name, fill=colour, font_size=14)
    return image

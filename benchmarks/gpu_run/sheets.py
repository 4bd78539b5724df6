"""Sheets that show a run: the curves of all stages one below the other, and prompts painted with the trained bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from unclip_generation.pipeline import UnCLIP
from unclip_pairs.images import contact_sheet
from unclip_training.curve_picture import draw_curves

OWN_PROMPTS = ("a red apple", "a flat icon of a shark", "an astronaut riding a horse", "two cats beside a tree on blue")
PROMPTS_A_SET = 6
SEEDS = (1, 2, 3, 4)
SHOWN = ("loss", "validation_loss")


def save_curves(curves: Mapping[str, Sequence[tuple[str, float, int]]], path: Path) -> None:
    """The loss and the validation loss of each stage as one PNG, in the order given."""
    drawn = [
        draw_curves({name: [(step, value) for label, value, step in points if label == name] for name in SHOWN})
        for points in curves.values()
    ]
    sheet = Image.new("RGB", (drawn[0].width, sum(image.height for image in drawn)), "white")
    for number, image in enumerate(drawn):
        sheet.paste(image, (0, number * image.height))
    sheet.save(path)


def shown_prompts(prompts: Mapping[str, Sequence[str]]) -> list[str]:
    """The first prompts of each set, and four that nobody chose by the data."""
    return [prompt for chosen in prompts.values() for prompt in chosen[:PROMPTS_A_SET]] + list(OWN_PROMPTS)


def save_sheet(painter: UnCLIP, prompts: Sequence[str], size: int, path: Path) -> None:
    """One row a prompt, one column a seed, as PNG; unselected."""
    asked = [(prompt, seed) for prompt in prompts for seed in SEEDS]
    pictures = painter.generate([prompt for prompt, _ in asked], [seed for _, seed in asked], size)
    rows = [pictures[start : start + len(SEEDS)] for start in range(0, len(pictures), len(SEEDS))]
    contact_sheet(rows, prompts, tile=128).save(path)

"""Pictures of pictures: labelled cards on one sheet, for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unclip_pairs.images import fit_square

GAP, HEAD, INK = 6, 16, (40, 40, 40)


@dataclass(frozen=True)
class CaptionedPictures:
    """A caption over some pictures side by side (uint8 [H, W, 3])."""

    caption: str
    pictures: tuple[NDArray[np.uint8], ...]


def captioned_sheet(parts: Sequence[tuple[str, Sequence[CaptionedPictures]]], width: int = 1080, tile: int = 112) -> Image.Image:
    """One RGB picture: under each part's title its cards, from left to right and from top to bottom."""
    heights = [_part_height(cards, width, tile) for _, cards in parts]
    sheet = Image.new("RGB", (width, sum(heights) + GAP), "white")
    top = GAP
    for (title, cards), height in zip(parts, heights, strict=True):
        _draw_part(sheet, top, title, cards, tile)
        top += height
    return sheet


def _card_width(cards: Sequence[CaptionedPictures], tile: int) -> int:
    return max((len(card.pictures) for card in cards), default=1) * tile + 2 * GAP


def _part_height(cards: Sequence[CaptionedPictures], width: int, tile: int) -> int:
    across = max(width // _card_width(cards, tile), 1)
    return HEAD + GAP + -(-len(cards) // across) * (tile + HEAD + GAP)


def _draw_part(sheet: Image.Image, top: int, title: str, cards: Sequence[CaptionedPictures], tile: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, top), _latin(title), fill=(0, 0, 0))
    card_width = _card_width(cards, tile)
    across = max(sheet.width // card_width, 1)
    for place, card in enumerate(cards):
        x, y = GAP + place % across * card_width, top + HEAD + place // across * (tile + HEAD + GAP)
        pen.text((x, y), _cut(card.caption, card_width - GAP), fill=INK)
        for i, picture in enumerate(card.pictures):
            sheet.paste(fit_square(Image.fromarray(picture), tile), (x + i * tile, y + HEAD))


def _latin(text: str) -> str:
    """The built-in font knows Latin letters only."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _cut(text: str, width: int) -> str:
    """As much of a caption as fits above its card (about six pixels a letter)."""
    most = width // 6
    return _latin(text if len(text) <= most else text[: most - 2] + "..")

"""Variation of a pair while it is learned: words left out of its caption, its picture moved by some pixels or mirrored."""

# B batch, S side

import re
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NUM_DRAWS = 3  # random numbers a picture takes: mirrored or not, down, across
SIDED = re.compile(r"\b(left|right)(ward|wards|hand|most)?\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How much is varied: the share of words left out, the most pixels a picture is moved, and whether half of them are mirrored."""

    drop_words: float = 0.0
    shift: int = 0
    flip: bool = False

    @property
    def changes_pictures(self) -> bool:
        """Whether pictures are changed at all."""
        return self.shift > 0 or self.flip


def may_be_mirrored(caption: str) -> bool:
    """Whether the caption stays true of the mirrored picture: it says neither left nor right."""
    return SIDED.search(caption) is None


def varied_pictures(pictures_BSS3: Tensor, draws: NDArray[np.float64], mirrorable: NDArray[np.bool_], variation: Variation) -> Tensor:
    """uint8 [B, S, S, 3]: the pictures mirrored and moved as `draws` in [0, 1), [B, `NUM_DRAWS`], say; the edge is repeated outwards."""
    if not variation.changes_pictures:
        return pictures_BSS3
    flip_B = (draws[:, 0] < 0.5) & mirrorable & variation.flip
    steps_B2 = np.floor(draws[:, 1:] * (2 * variation.shift + 1)).astype(np.int64) - variation.shift
    places_S = np.arange(pictures_BSS3.shape[1])
    rows_BS = np.clip(places_S + steps_B2[:, :1], 0, len(places_S) - 1)
    columns_BS = np.clip(places_S + steps_B2[:, 1:], 0, len(places_S) - 1)
    columns_BS = np.where(flip_B[:, None], len(places_S) - 1 - columns_BS, columns_BS)
    pairs_B = np.arange(len(draws))[:, None, None]
    return pictures_BSS3[torch.from_numpy(pairs_B), torch.from_numpy(rows_BS)[:, :, None], torch.from_numpy(columns_BS)[:, None, :]]

"""Segmentation of a composed scene: what differs from the colour of the border is foreground."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from unclip_evaluation.checkers.colours import Lab, to_lab
from unclip_evaluation.probes.augmentation import border, border_colour

APART = 14.0  # in Lab: what is farther from the border's colour is foreground
EVEN = 0.6  # of the border has to be near its own median, or there is no background
SPECK = 0.002  # of the picture: smaller pieces are noise
VALLEY = 0.12  # of the highest column: what lies lower parts two things
MARGIN = 0.12  # around a cut-out thing, of its longer side
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Segmented:
    """A picture (uint8 [H, W, 3]), the colour of its border, whether the border is of one colour, and its foreground [H, W]."""

    picture: NDArray[np.uint8]
    background: tuple[int, int, int]
    is_even: bool
    mask: Mask

    @property
    def background_lab(self) -> Lab:
        """The border's colour in Lab [3]."""
        return to_lab(np.array(self.background))

    @property
    def extent(self) -> float:
        """The longer side of the foreground's box, 0..1 of the picture's side."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return float(max(np.ptp(rows), np.ptp(columns)) + 1) / len(self.mask) if len(rows) else 0.0


def segmented(picture: NDArray[np.uint8]) -> Segmented:
    """The picture's background and foreground; specks are left out and holes are filled."""
    colour = border_colour(picture)
    lab = to_lab(np.array(colour))
    even = np.linalg.norm(to_lab(border(picture)) - lab, axis=-1) < APART
    mask = np.asarray(ndimage.binary_fill_holes(np.linalg.norm(to_lab(picture) - lab, axis=-1) > APART), dtype=bool)
    labels, count = _pieces(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = np.flatnonzero(areas < SPECK * mask.size)
    return Segmented(picture, colour, bool(even.mean() >= EVEN), mask & ~np.isin(labels, small))


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """int32 [H, W]: the number of each pixel's connected piece, 0 outside; and how many pieces there are."""
    labels = np.zeros(mask.shape, np.int32)
    return labels, int(cast(int, ndimage.label(mask, output=labels)))


def num_parts(mask: Mask, reach: int, least: float) -> int:
    """How many pieces lie more than `2 * reach` pixels apart, leaving out those smaller than `least` times the largest."""
    labels, count = _pieces(np.asarray(ndimage.binary_dilation(mask, iterations=reach), dtype=bool) if reach else mask)
    areas = np.bincount(labels[mask], minlength=count + 1)[1:]
    return int((areas >= least * areas.max()).sum()) if count else 0


def halves(mask: Mask, axis: int) -> tuple[Mask, Mask] | None:
    """The left and the right part (`axis` 1), or the upper and the lower one (`axis` 0), cut where least foreground is.

    None when they are not apart.
    """
    profile = mask.sum(axis=1 - axis)
    filled = np.flatnonzero(profile)
    if len(filled) < 8:
        return None
    start, stop = int(filled[0]), int(filled[-1]) + 1
    low, high = start + (stop - start) // 4, stop - (stop - start) // 4
    middle = (start + stop) / 2
    cut = min(range(low, high), key=lambda place: (profile[place], abs(place - middle)))
    if profile[cut] > VALLEY * profile.max():
        return None
    first = np.arange(mask.shape[axis]) < cut
    side = first[None, :] if axis == 1 else first[:, None]
    return mask & side, mask & ~side


def cut_out(scene: Segmented, part: Mask) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]: the part alone, centred and large, on the scene's background."""
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    alone = np.where(part[..., None], scene.picture, np.array(scene.background, np.uint8))
    piece = Image.fromarray(alone).crop(box)
    side = round(max(piece.size) * (1 + 2 * MARGIN))
    ground = Image.new("RGB", (side, side), scene.background)
    ground.paste(piece, ((side - piece.width) // 2, (side - piece.height) // 2))
    return np.asarray(ground.resize((scene.picture.shape[1], scene.picture.shape[0]), Image.Resampling.LANCZOS))

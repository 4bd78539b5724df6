"""Check against copying: how near is each painted picture to its nearest training picture?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_pairs.images import contact_sheet

QUANTILES = (0.05, 0.5, 0.95, 1.0)
COPY_COSINE = 0.97  # above this, two pictures look alike to a person


def distribution(cosines: NDArray[np.float32]) -> dict[str, float]:
    """Mean and quantiles of the cosine to the nearest training picture, and the share above `COPY_COSINE`."""
    found = {f"q{int(q * 100):02d}": float(np.quantile(cosines, q)) for q in QUANTILES}
    return {"mean": float(cosines.mean()), **found, "share_above_0.97": float((cosines > COPY_COSINE).mean())}


def closest_sheet(
    painted: NDArray[np.uint8], neighbours: NDArray[np.uint8], cosines: NDArray[np.float32], captions: Sequence[str], count: int = 12
) -> Image.Image:
    """The `count` closest pairs: painted picture, nearest training picture; the cosine and the caption above."""
    order = np.argsort(-cosines)[:count]
    rows = [[Image.fromarray(painted[i]), Image.fromarray(neighbours[i])] for i in order]
    return contact_sheet(rows, [f"{cosines[i]:.3f}  {captions[i]}" for i in order])

"""Colours in CIE Lab, where distances are about as people see them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
Lab = NDArray[np.float64]


def to_lab(colours: NDArray[np.generic]) -> Lab:
    """Lab of sRGB values 0..255 [..., 3]: L 0..100, a and b about -128..127 (D65)."""
    values = np.asarray(colours, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.empty(values.shape, np.float64)
    lab[..., 0], lab[..., 1], lab[..., 2] = 116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return lab


def nearest_name(colour: Lab, named: Mapping[str, Lab]) -> str:
    """The name of the nearest of the named colours [3]."""
    assert named
    return min(named, key=lambda name: float(np.linalg.norm(named[name] - colour)))

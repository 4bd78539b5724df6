"""Distances between pictures, all on the average-pooled features of an ImageNet MobileNetV2 at 128 px.

The network is not part of the pipeline and never trained by it. The Fréchet distance on these features is called `frechet_mnv2`: it
is *not* the FID, which is defined on an Inception network, and must not be compared with published FIDs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import DecodedPairs, decoded_pairs
from unclip_training.data.pair_source import pairs_source
from unclip_training.judging.mobilenet import SIDE
from unclip_training.judging.picture_features import picture_features

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceSet:
    """The pictures of one split and their features, float32 [N, 1280]."""

    pairs: DecodedPairs
    features: NDArray[np.float32]


def reference_set(store: Store, dataset: str, split: str = "train", progress: Callable[[int], None] | None = None) -> ReferenceSet:
    """The split with its features, which are computed once per dataset digest."""
    source = pairs_source(store, dataset, split)
    pairs = decoded_pairs(store, source, SIDE)
    return ReferenceSet(pairs, picture_features(store, source, pairs, progress))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same directions with length 1; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def nearest(queries: NDArray[np.float32], references: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each query, the place of the reference with the largest cosine (int64 [Q]) and that cosine (float32 [Q])."""
    cosines = unit(queries) @ unit(references).T
    places = cosines.argmax(1)
    return places, cosines[np.arange(len(queries)), places]


def frechet(a: Floats, b: Floats) -> float:
    """Fréchet distance of two sets of features, as normal distributions (Heusel et al., 2017, eq. 6), at least 0.

    The trace of the square root of the product of the covariances is the sum of the singular values of the product of the centred sets,
    which stays exact where there are fewer pictures than dimensions. Few pictures bias it upwards: compare only figures of equal counts.
    """
    assert len(a) > 1 and len(b) > 1
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    cross = np.linalg.norm(root_a @ root_b.T, "nuc")
    spread = (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    apart = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    return max(float((apart**2).sum() + spread), 0.0)


def _covariance_root(vectors: Floats) -> NDArray[np.float64]:
    """A matrix with at most as many rows as columns whose product with itself, transposed first, is the covariance."""
    centred = (vectors - vectors.mean(0, dtype=np.float64)) / np.sqrt(len(vectors) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred

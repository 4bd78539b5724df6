"""Features of a whole set of pictures, computed once: the judge learns from them, the evaluation compares with them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import DecodedPairs, cache_folder, read_array, write_array
from unclip_training.data.pair_source import PairSource
from unclip_training.judging.mobilenet import SIDE, WEIGHTS_SHA256, features

CHUNK = 256


def picture_features(
    store: Store, source: PairSource, pairs: DecodedPairs, progress: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """float32 [N, 1280]: MobileNetV2 features of the pairs, cached beside their decoded pictures when they are those of the source."""
    if pairs.digest != source.digest:
        return _computed(pairs, progress)
    name = f"{cache_folder(source, pairs.pictures.shape[1])}/mobilenet_v2-{WEIGHTS_SHA256[:8]}-{SIDE}.npy"
    if not store.exists(name):
        write_array(store, name, _computed(pairs, progress))
    return np.array(read_array(store.path(name)))


def _computed(pairs: DecodedPairs, progress: Callable[[int], None] | None) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(pairs), CHUNK):
        parts.append(features(np.asarray(pairs.pictures[start : start + CHUNK])))
        if progress is not None:
            progress(min(start + CHUNK, len(pairs)))
    return np.concatenate(parts)

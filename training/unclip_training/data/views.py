"""Views: mirrored, moved and scaled copies of the training pictures, each with a CLIP embedding of its own.

A few thousand embeddings are few to learn from; a decoder that sees each picture in several views learns by heart less. They are made
only of a set that lies in memory, and their embeddings once for all stages that learn from the same pairs with the same CLIP.
"""

# N pictures, S side, D embedding

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_pairs.manifest import is_done, make_manifest, settings_digest, write_manifest
from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import DecodedPairs, read_array, write_array
from unclip_training.progress import Lines

SCALES = 0.85, 1.12  # smallest and largest
MOVE = 0.08  # of the side, at most, each way
BORDER = 0.25  # of the side, by which the edge is repeated outwards
NUM_DRAWS = 4  # scale, down, across, mirrored or not
CHUNK = 64


class Embedder(Protocol):
    """What embeds pictures; `digest` tells it from others."""

    digest: str

    def pictures(self, batch_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [B, D] of unit norm, for uint8 pictures [B, H, W, 3]."""
        ...


def with_views(store: Store, pairs: DecodedPairs, count: int, embedder: Embedder) -> DecodedPairs:
    """The pairs and, after them, `count` views of each in the same order; caption embeddings and weights are those of the pair."""
    assert pairs.clip_image is not None and pairs.clip_text is not None, "these shards hold no embeddings"
    pictures = np.concatenate([view_of_all(pairs, number) for number in range(count)])
    return replace(
        pairs,
        keys=pairs.keys * (1 + count),
        captions=pairs.captions * (1 + count),
        captions_of=pairs.captions_of * (1 + count),
        weights=np.tile(pairs.weights, 1 + count),
        pictures=np.concatenate([pairs.pictures, pictures]),
        clip_image=np.concatenate([pairs.clip_image, _embedded(store, pairs.digest, pictures, embedder)]),
        clip_text=np.tile(pairs.clip_text, (1 + count, 1)),
    )


def view_of_all(pairs: DecodedPairs, number: int) -> NDArray[np.uint8]:
    """The `number`-th view of every picture, uint8 [N, S, S, 3], the same at each call."""
    draws = np.random.default_rng((number, len(pairs))).random((len(pairs), NUM_DRAWS))
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(view, pairs.pictures, draws, pairs.mirrorable)))


def view(picture: NDArray[np.uint8], draws: NDArray[np.float64], mirrorable: bool) -> NDArray[np.uint8]:
    """The picture scaled, moved and perhaps mirrored, as `draws` in [0, 1) say; where it ends, its edge is repeated."""
    side = len(picture)
    border = round(BORDER * side)
    wide = Image.fromarray(np.pad(picture, ((border, border), (border, border), (0, 0)), mode="edge"))
    window = side / (SCALES[0] + draws[0] * (SCALES[1] - SCALES[0]))
    top, left = (border + (side - window) / 2 + MOVE * side * (2 * draw - 1) for draw in draws[1:3])
    seen = np.asarray(wide.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + window, top + window)))
    return seen[:, ::-1] if mirrorable and draws[3] < 0.5 else seen


def _embedded(store: Store, source: str, pictures: NDArray[np.uint8], embedder: Embedder) -> NDArray[np.float32]:
    """The embeddings [N, D] of the views, from the cache where they are there."""
    inputs, settings = {"source": source, "clip": embedder.digest}, {"count": len(pictures), "views": [*SCALES, MOVE]}
    folder = f"cache/{source[:12]}-views-{settings_digest([inputs, settings])[:12]}"
    name = f"{folder}/clip_image.npy"
    if not is_done(store, f"{folder}/manifest.json", inputs, settings):
        lines, parts = Lines("views", len(pictures)), list[NDArray[np.float32]]()
        for start in range(0, len(pictures), CHUNK):
            parts.append(embedder.pictures(pictures[start : start + CHUNK]))
            lines.at(start + len(parts[-1]), float("nan"))
        write_array(store, name, np.concatenate(parts))
        write_manifest(store, f"{folder}/manifest.json", make_manifest(store, "cache", [name], inputs=inputs, settings=settings))
    return np.asarray(read_array(store.path(name)))

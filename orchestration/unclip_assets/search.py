"""This file is the search by words or by a picture: the present CLIP, over the embeddings that it made."""

from pathlib import Path
from typing import Any

import numpy as np

from unclip_assets.current import present
from unclip_curation.neighbours import search
from unclip_pairs.errors import UserError
from unclip_pairs.images import MAX_BYTES, DecodeError, decode, fit_square, to_array
from unclip_pairs.store import Store

SIDE = 256


def found_by(store: Store, query: str, count: int) -> list[dict[str, Any]]:
    """The `count` pairs nearest to a picture file, or else to words: key, url, caption, similarity and "cosine", best first.

    `UserError` when there is no CLIP or index yet, or the file is no picture.
    """
    from unclip_training.embedder import ClipEmbedder

    folder = f"embeddings/{present(store, 'clip_embeddings').name}"
    embedder = ClipEmbedder(store.folder(f"models/clip/{present(store, 'clip_model').name}"))
    path = Path(query)
    vector = embedder.pictures(_picture(path)[None]) if path.is_file() else embedder.captions([query])
    batches = sorted({name.split("/")[2] for name in store.names(f"{folder}/") if name.count("/") > 2})
    rows = [row for batch in batches for row in search(store, f"{folder}/{batch}", vector, count)]
    return sorted(rows, key=lambda row: -row["cosine"])[:count]


def _picture(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES} bytes; give a smaller picture")
    try:
        return to_array(fit_square(decode(path.read_bytes()), SIDE))
    except DecodeError as error:
        raise UserError(f"{path} is not a picture that can be read ({error}); give a PNG, JPEG or WebP file, or words") from error

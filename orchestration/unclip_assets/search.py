"""Search by words or by a picture: a CLIP, over the embeddings that it made."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unclip_assets.curation import SIDE, own_clip
from unclip_assets.pointers import present
from unclip_curation.embeddings.embedding import Embedder, Prepare, embedding_folder, squares
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError, decode
from unclip_pairs.limits import MAX_BYTES
from unclip_pairs.store import Store

if TYPE_CHECKING:
    from unclip_curation.search.retrieval import SearchResult


@dataclass(frozen=True)
class Space:
    """Where words and pictures meet: a CLIP, how it wants pictures prepared, and the folder of the embeddings that it made."""

    embedder: Embedder
    prepare: Prepare
    folder: str

    def words(self, text: str) -> NDArray[np.float32]:
        """float32 [dim] of words."""
        return self.embedder.captions([text])[0]

    def picture(self, data: bytes) -> NDArray[np.float32]:
        """float32 [dim] of an encoded picture; `UserError` when it is too large or none."""
        if len(data) > MAX_BYTES:
            raise UserError(f"the picture has more than {MAX_BYTES} bytes; give a smaller one")
        try:
            return self.embedder.pictures(self.prepare(decode(data))[None])[0]
        except DecodeError as error:
            raise UserError(f"this is not a picture that can be read ({error}); give a PNG, JPEG or WebP file, or words") from error


def open_space(store: Store, clip: str | None = None) -> Space:
    """The space of the home's own CLIP, or of the one that `unclip data embed --clip` was given; `UserError` when it is not there."""
    from unclip_training.open_clip_embedder import OpenClipEmbedder, open_embedder

    if clip is None:
        folder = f"embeddings/{present(store, 'clip_embeddings').name}"
        embedder, prepare = own_clip(store)()
        if embedding_folder(embedder) != folder:
            raise UserError("the present embeddings were made by another CLIP; name it with --clip, as for `unclip data embed`")
        return Space(embedder, prepare, folder)
    embedder = open_embedder(clip)
    prepare = embedder.prepare if isinstance(embedder, OpenClipEmbedder) else squares(SIDE)
    return Space(embedder, prepare, embedding_folder(embedder))


def found_by(store: Store, query: str, count: int, clip: str | None = None, safe: bool = True) -> "list[SearchResult]":
    """The `count` pairs nearest to a picture file, or else to words: key, url, caption and "similarity", best first. What was taken down
    is left out; while `safe`, so is what the safety stage does not keep.

    `UserError` when there is no CLIP or no embedding yet, or the file is no picture.
    """
    from unclip_curation.search.retrieval import ExactEngine, SearchQuery, search
    from unclip_curation.search.visibility import Visibility

    space, path = open_space(store, clip), Path(query)
    vector = space.picture(path.read_bytes()) if path.is_file() else space.words(query)
    return search(ExactEngine(store, space.folder), Visibility(store, safe), vector, SearchQuery(count=count))

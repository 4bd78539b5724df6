"""Search index: embeddings in clip-retrieval's layout, made searchable for `clip-retrieval back` and its page."""

import numpy as np

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, write_manifest
from unclip_pairs.store import Store

KINDS = {"image.index": "img_emb", "text.index": "text_emb"}
EXACT_ROWS = 1_000_000


def build_index(store: Store, embeddings: str, batch: str) -> Manifest:
    """Writes `image.index` and `text.index` (faiss, inner product, exact) beside the batch's embeddings and metadata, and
    `indices_paths.json`, which `clip-retrieval back --indices_paths` reads; the manifest `index.json` last.

    `UserError` when the batch has no embeddings, or more than an exact search should be asked to look through.
    """
    folder = f"embeddings/{embeddings}/{batch}"
    source = read_manifest(store, f"{folder}.json")
    if source is None:
        raise UserError(f"the batch {batch!r} has no embeddings in {store}; embed its pairs first")
    inputs, settings = {"embeddings": source.digest}, {"index": "Flat", "metric": "inner product"}
    done = read_manifest(store, f"{folder}/index.json") if is_done(store, f"{folder}/index.json", inputs, settings) else None
    if done is not None:
        return done
    store.remove(f"{folder}/index.json")  # it would vouch for files about to change
    rows = [_write_index(store, f"{folder}/{name}", f"{folder}/{kind}/{kind}_0.npy") for name, kind in KINDS.items()]
    store.write_json(f"{folder}/indices_paths.json", {batch: str(store.folder(folder).resolve())})
    files = [*(f"{folder}/{name}" for name in KINDS), f"{folder}/indices_paths.json"]
    manifest = make_manifest(store, "index", files, inputs=inputs, settings=settings, counts={"rows": rows[0]})
    return write_manifest(store, f"{folder}/index.json", manifest)


def _write_index(store: Store, name: str, vectors_name: str) -> int:
    """One index over one file of vectors; gives its rows."""
    import faiss

    vectors = np.load(store.path(vectors_name), allow_pickle=False).astype(np.float32)
    if len(vectors) > EXACT_ROWS:
        raise UserError(
            f"{vectors_name} holds {len(vectors)} rows; above {EXACT_ROWS} build the index with `clip-retrieval index` (autofaiss)"
        )
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)  # pyright: ignore[reportCallIssue]  faiss's stubs show the C++ signature
    with store.writing(name) as part:
        faiss.write_index(index, str(part))
    return len(vectors)

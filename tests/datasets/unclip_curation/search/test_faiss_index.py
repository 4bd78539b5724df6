"""Tests of the search index: each vector finds itself, and nothing is built twice."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from unclip_curation.search.faiss_index import build_index
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store, rng = open_store(tmp_path), np.random.default_rng(0)
    names = []
    for kind in ("img_emb", "text_emb"):
        rows = rng.normal(size=(20, 8)).astype(np.float32)
        names.append(f"embeddings/abcd1234/a/{kind}/{kind}_0.npy")
        with store.writing(names[-1]) as part, part.open("wb") as file:
            np.save(file, rows / np.linalg.norm(rows, axis=1, keepdims=True), allow_pickle=False)
    write_manifest(store, "embeddings/abcd1234/a.json", make_manifest(store, "embeddings", names))
    return store


def test_every_picture_finds_itself_and_a_second_build_changes_nothing(store: Store) -> None:
    manifest = build_index(store, "abcd1234", "a")
    path = store.path("embeddings/abcd1234/a/image.index")
    vectors = np.load(store.path("embeddings/abcd1234/a/img_emb/img_emb_0.npy"), allow_pickle=False)
    _, found = faiss.read_index(str(path)).search(vectors, 1)
    assert found[:, 0].tolist() == list(range(20))
    before = path.stat().st_mtime_ns
    assert build_index(store, "abcd1234", "a").digest == manifest.digest
    assert path.stat().st_mtime_ns == before


def test_a_batch_without_embeddings_is_told_in_a_sentence(store: Store) -> None:
    with pytest.raises(UserError, match="'b' has no embeddings"):
        build_index(store, "abcd1234", "b")

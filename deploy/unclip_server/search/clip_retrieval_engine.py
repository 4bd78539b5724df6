"""Clip-retrieval's own search service as an engine of ours: its KnnService and metadata over the indices that we build.

`clip-retrieval back` itself would listen on every address, fetch any address a visitor names and know nothing of takedowns; its page is not
in its package. So its service runs inside our app, which listens where it is asked to, fetches nothing and asks what may be shown.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from unclip_curation.search.faiss_index import build_index
from unclip_curation.search.retrieval import ExactEngine, IndexRow, Neighbour, SearchEngine, Vector, check_width, indices_of
from unclip_pairs.store import Store

COLUMNS = ["key", "url", "caption"]


class ClipRetrievalEngine:
    """KnnService over `image.index` and `text.index` of each batch under the folder; missing indices are built first."""

    about = "clip-retrieval over faiss indices"

    def __init__(self, store: Store, folder: str) -> None:
        with _collectors_kept():
            clip_back = import_module("clip_retrieval.clip_back")  # the package has a function of that name
        for batch in indices_of(store, folder):
            build_index(store, PurePosixPath(folder).name, batch)
        self.resources = {batch: _resource(clip_back, str(store.folder(f"{folder}/{batch}"))) for batch in indices_of(store, folder)}
        self.service: Any = clip_back.KnnService(clip_resources=self.resources)

    @property
    def indices(self) -> list[str]:
        """The batches that were there when the service began."""
        return sorted(self.resources)

    def near(self, index: str, vector: Vector, count: int, modality: str = "image") -> list[Neighbour]:
        """As `Engine` says. `UserError` when the vectors have another width than the query."""
        resource = self.resources[index]
        searched = resource.image_index if modality == "image" else resource.text_index
        check_width(vector, searched.d, index)
        query = np.ravel(vector) / max(float(np.linalg.norm(vector)), 1e-12)
        count = min(count, searched.ntotal)
        asked = {"modality": modality, "num_images": count, "num_result_ids": count, "indice_name": index, "deduplicate": False}
        return self.service.query(embedding_input=query, **asked)

    def described(self, index: str, ids: list[int]) -> list[IndexRow]:
        """As `Engine` says."""
        known = [number for number in ids if 0 <= number < self.resources[index].image_index.ntotal]
        rows = self.resources[index].metadata_provider.get(known, COLUMNS) if known else []
        return [IndexRow(**row, id=number) for row, number in zip(rows, known, strict=True)]


def _resource(clip_back: Any, folder: str) -> Any:
    """clip-retrieval's own description of an index; vectors come from our CLIP, so it gets no network of its own, and no safety network,
    which it would fetch: what is safe was decided before."""
    image_index, text_index = (clip_back.load_index(f"{folder}/{name}.index", True) for name in ("image", "text"))
    provider, _ = clip_back.load_metadata_provider(folder, False, False, image_index, COLUMNS, False)
    nothing = dict.fromkeys(("model", "preprocess", "tokenizer", "model_txt_mclip", "safety_model", "violence_detector"))
    return clip_back.ClipResource(
        device="cpu",
        **nothing,
        metadata_provider=provider,
        image_index=image_index,
        text_index=text_index,
        ivf_old_to_new_mapping=None,
        columns_to_return=COLUMNS,
        metadata_is_ordered_by_ivf=False,
        aesthetic_embeddings=None,
    )


@contextmanager
def _collectors_kept() -> Iterator[None]:
    """clip-retrieval empties the process's register of metrics when it is imported; what others registered is put back."""
    from prometheus_client import REGISTRY

    before = set(REGISTRY._collector_to_names)  # pyright: ignore[reportPrivateUsage]  there is no public list
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports modules that Python and setuptools retire
        yield
    after = set(REGISTRY._collector_to_names)  # pyright: ignore[reportPrivateUsage]
    for collector in before - after:
        REGISTRY.register(collector)


def best_engine(store: Store, folder: str) -> SearchEngine:
    """clip-retrieval's service where it is installed, else exact search of our own."""
    return ClipRetrievalEngine(store, folder) if find_spec("clip_retrieval") else ExactEngine(store, folder)

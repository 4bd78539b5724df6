"""Curation as the assets run it: in this home, by this deployment's policy, embedded by the home's own CLIP."""

from functools import partial
from pathlib import Path

from unclip_assets.pointers import present
from unclip_assets.resources import CurationPolicy, Home
from unclip_curation.embeddings.embedding import Embedder, LoadEmbedder, Prepare, squares
from unclip_curation.engines.processes import Processes
from unclip_curation.pipeline import Curation
from unclip_pairs.store import Store

SIDE = 256
EMBEDDED = ("embedding_features", "probe_scores", "duplicate_candidates", "duplicate_verdicts", "evaluation_leaks", "final_verdicts")
"""The steps of the asset `duplicate_verdicts`; every other step is an asset of its own name."""


def load_clip(folder: Path) -> tuple[Embedder, Prepare]:
    """The CLIP of a run folder, and the preparation that it was trained with."""
    from unclip_training.embedder import ClipEmbedder

    return ClipEmbedder(folder), squares(SIDE)


def own_clip(store: Store) -> LoadEmbedder:
    """What loads the home's present CLIP; `UserError` when none is trained."""
    return partial(load_clip, store.folder(f"models/clip/{present(store, 'clip_model').name}"))


def curation_of(home: Home, policy: CurationPolicy, *, embedded: bool = False) -> Curation:
    """What the steps share; those after the training of CLIP are `embedded`. CLIP is small: it embeds in the asset's own process."""
    store = home.store()
    embedder = own_clip(store) if embedded else None
    return Curation(store=store, policy=policy.load(), engine=home.engine(), embedder=embedder, embedding_engine=Processes(1))

"""Aesthetic head: a linear probe that the operator brings, asked about embeddings that are there.

No probe comes with the house: what is beautiful is the operator's judgement. The file is `probes/aesthetic.safetensors` in the store, with
`weight` (dim, or 1 x dim), `bias` (one number) and, in its metadata, `embedder`: the digest of the embedder whose space it was fitted in.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table
from safetensors import SafetensorError, safe_open

from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.features import required, write_features
from unclip_curation.schemas import AESTHETIC_SCHEMA
from unclip_curation.scorers.runner import Derived
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, file_digest, is_done
from unclip_pairs.store import Store

PROBE = "probes/aesthetic.safetensors"


@dataclass(frozen=True)
class AestheticProbe:
    """A direction in the space of the embedder with this digest."""

    weight: NDArray[np.float32]
    bias: float
    embedder: str

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """One score per row of float32 [rows, dim]."""
        return embeddings @ self.weight + np.float32(self.bias)


def load_probe(store: Store, name: str = PROBE) -> AestheticProbe:
    """The probe in the store; `UserError` when it is missing, broken or does not say whose embeddings it judges."""
    if not store.exists(name):
        raise UserError(f"{store.path(name)} does not exist; put a linear probe there (docs/scorers.md says what it holds)")
    try:
        with safe_open(str(store.path(name)), framework="np") as file:
            weight, bias = (np.asarray(file.get_tensor(part), dtype=np.float32).reshape(-1) for part in ("weight", "bias"))
            embedder = (file.metadata() or {}).get("embedder", "")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{store.path(name)} is no probe ({error}); it must hold the tensors weight and bias") from error
    if len(bias) != 1 or not embedder:
        raise UserError(
            f"{store.path(name)} must hold one bias (it has {len(bias)}) and name its embedder's digest in its metadata; save it again"
        )
    return AestheticProbe(weight, float(bias[0]), embedder)


def score_aesthetic(store: Store, batch: str) -> Manifest:
    """Writes `features/<batch>/aesthetic.parquet`: the probe's score of every pair that its embedder embedded.

    `UserError` when the probe is unfit, or when the batch was not embedded by the probe's embedder.
    """
    probe = load_probe(store)
    name = f"embeddings/{probe.embedder[:8]}/{batch}"
    vectors = required(store, f"{name}.json", f"embed the batch by the embedder {probe.embedder[:8]}, in whose space the probe was fitted")
    if vectors.inputs["embedder"] != probe.embedder:
        raise UserError(
            f"{name} was made by the embedder {vectors.inputs['embedder']}, but the probe was fitted on {probe.embedder}; embed anew"
        )
    if vectors.counts["dim"] != len(probe.weight):
        raise UserError(
            f"the probe's weight has {len(probe.weight)} values, but the embeddings have {vectors.counts['dim']}; save it again"
        )
    inputs = {"probe": file_digest(store.path(PROBE)), "embeddings": vectors.digest}
    settings = {"scorer": AESTHETIC.name, "version": AESTHETIC.version, "columns": AESTHETIC_SCHEMA.names}
    if is_done(store, f"features/{batch}/aesthetic.json", inputs, settings):
        return required(store, f"features/{batch}/aesthetic.json", "score again")
    table = read_table(store.path(f"{name}.parquet"), columns=["key", "clip_image"])
    rows = pa.table({"key": table["key"], "aesthetic": probe(column_vectors(table, "clip_image"))}, schema=AESTHETIC_SCHEMA)
    return write_features(store, f"{batch}/aesthetic", rows, inputs, settings)


AESTHETIC = Derived(
    name="aesthetic",
    version=1,
    schema=AESTHETIC_SCHEMA,
    run=score_aesthetic,
    about="the score of a linear probe that the operator supplies",
    cost="seconds a batch",
)

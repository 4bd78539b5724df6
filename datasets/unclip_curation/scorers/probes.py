"""Probes: small classifiers on CLIP embeddings that people's labels taught, as columns that a policy can decide by.

A probe is a file of arrays (safetensors, never pickle) and is named by the digest of that file, so a policy that names it means exactly
this one. Logistic regression and the support vector machine with a Gaussian kernel of GLIDE (Nichol et al., 2022, appendix F.1).
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.embeddings.embedding import column_vectors
from unclip_curation.features import write_features
from unclip_curation.schemas import PROBE_SCHEMA
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, read_manifest
from unclip_pairs.store import Store

LOGISTIC, RBF = "logistic", "rbf"
KINDS = (LOGISTIC, RBF)
ROWS = 4096
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A category's classifier over the vectors of one embedder (the first 8 digits of its digest).

    `arrays` are the mean of the features and their common scale [1]; `weights` [dim] (logistic) or `support`
    [vectors, dim], `dual` [vectors] and `gamma` [1] (rbf); `bias` [1]; and the calibration, `platt` [2] or `steps` [2, points].
    """

    category: str
    kind: str
    embedder: str
    arrays: dict[str, Array] = field(repr=False)

    def raw(self, vectors: NDArray[np.float32 | np.float64]) -> Array:
        """The decision values of vectors [rows, dim]; above 0 the classifier alone would say yes."""
        parts = [self._raw(vectors[start : start + ROWS]) for start in range(0, len(vectors), ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _raw(self, vectors: NDArray[np.float32 | np.float64]) -> Array:
        known = self.arrays
        rows = (vectors.astype(np.float64) - known["mean"]) / known["scale"]
        if self.kind == LOGISTIC:
            return rows @ known["weights"] + known["bias"][0]
        support = known["support"]
        squares = (rows**2).sum(axis=1)[:, None] + (support**2).sum(axis=1)[None] - 2 * rows @ support.T
        return np.exp(-known["gamma"][0] * np.maximum(squares, 0)) @ known["dual"] + known["bias"][0]

    def calibrated(self, raw: Array) -> Array:
        """Probabilities (0..1) of decision values."""
        if "platt" in self.arrays:
            slope, offset = self.arrays["platt"]
            return 1 / (1 + np.exp(np.clip(-(slope * raw + offset), -500, 500)))
        return np.interp(raw, *self.arrays["steps"])

    def scores(self, vectors: NDArray[np.float32 | np.float64]) -> Array:
        """The probability (0..1) that each picture belongs to the category."""
        return self.calibrated(self.raw(vectors))

    @cached_property
    def data(self) -> bytes:
        """The file's bytes, the same for the same probe."""
        from safetensors.numpy import save

        told = json.dumps({"category": self.category, "kind": self.kind, "embedder": self.embedder}, sort_keys=True)
        return save({name: np.ascontiguousarray(array, np.float64) for name, array in sorted(self.arrays.items())}, {"probe": told})

    @property
    def version(self) -> str:
        """12 hex digits of the file."""
        return hashlib.sha256(self.data).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Where it lies in the store."""
        return f"probes/{self.category}/{self.version}"


def load_probe(store: Store, category: str, version: str) -> Probe:
    """The probe of that name; `UserError` when it is not finished or its file was changed."""
    name = f"probes/{category}/{version}/probe.safetensors"
    if read_manifest(store, f"probes/{category}/{version}/manifest.json") is None:
        raise UserError(f"there is no finished probe {version!r} of {category!r} in {store}; `unclip label train {category}` makes one")
    probe = read_probe(store.read_bytes(name))
    if (probe.version, probe.category) != (version, category):
        raise UserError(f"{store.path(name)} was changed after it was written; put the file back or train the probe again")
    return probe


def read_probe(data: bytes) -> Probe:
    """The probe in a file's bytes; `UserError` when they are none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return Probe(**json.loads(header["__metadata__"]["probe"]), arrays=load(data))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"these {len(data)} bytes are no probe ({error}); name a probe.safetensors that `unclip label train` wrote"
        ) from error


def known_probes(store: Store, embeddings: str) -> list[Probe]:
    """The finished probes for the vectors of one embedder, sorted by category and version."""
    parts = [name.split("/") for name in store.names("probes/") if name.endswith("/manifest.json")]
    found = [load_probe(store, part[1], part[2]) for part in parts if len(part) == 4]
    return [probe for probe in found if probe.embedder == embeddings]


def score_probes(store: Store, embeddings: str) -> Manifest:
    """Writes `features/probe.parquet`: what every known probe says of every embedded pair (key, category, probe, score), sorted.

    Only vectors are read, so a new probe costs seconds. `UserError` when there are no embeddings of that name.
    """
    probes, batches = known_probes(store, embeddings), embedded_batches(store, embeddings)
    inputs = batches | {f"probe/{probe.category}/{probe.version}": probe.version for probe in probes}
    settings = {"scorer": "probe", "version": 1, "columns": PROBE_SCHEMA.names, "embeddings": embeddings}
    if is_done(store, "features/probe.json", inputs, settings):
        done = read_manifest(store, "features/probe.json")
        assert done is not None
        return done
    tables = [PROBE_SCHEMA.empty_table(), *(_scored(store, name, probe) for name in batches for probe in probes)]
    rows = pa.concat_tables(tables).sort_by([("key", "ascending"), ("category", "ascending"), ("probe", "ascending")])
    return write_features(store, "probe", rows, inputs, settings)


def embedded_batches(store: Store, embeddings: str) -> dict[str, str]:
    """The digests of the finished batches of embeddings, by the name of their file without ending; `UserError` when there are none."""
    names = [name.removesuffix(".json") for name in store.names(f"embeddings/{embeddings}/") if name.endswith(".json")]
    found = {name: manifest.digest for name in names if name.count("/") == 2 and (manifest := read_manifest(store, f"{name}.json"))}
    if not found:
        raise UserError(f"there are no embeddings {embeddings!r} in {store}; embed the pairs first")
    return found


def _scored(store: Store, name: str, probe: Probe) -> pa.Table:
    rows = read_table(store.path(f"{name}.parquet"), columns=["key", "clip_image"])
    number, scores = rows.num_rows, probe.scores(column_vectors(rows, "clip_image"))
    columns = {
        "key": rows["key"].combine_chunks(),
        "category": pa.array([probe.category] * number, pa.string()),
        "probe": pa.array([probe.version] * number, pa.string()),
        "score": pa.array(scores.astype(np.float32)),
    }
    return pa.table(columns, schema=PROBE_SCHEMA)

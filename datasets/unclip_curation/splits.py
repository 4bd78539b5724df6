"""Splits: which pairs trainings learn from, which only show how far they generalise, and which are kept from them.

Held-out pairs are named by the ground truth; validation pairs are a fixed share of the others, chosen by their keys alone, so a pair never
changes sides when the crawl grows.
"""

import hashlib

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.features import kept_keys, required
from unclip_pairs.manifest import Manifest, is_done, make_manifest, settings_digest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

SPLITS = ("train", "held_out", "validation")
VALIDATION_SHARE = 0.05
LEAST = 20  # pairs from which on there is at least one of validation
HELD_OUT_KEYS, VALIDATION_KEYS = "verdicts/held_out", "verdicts/validation"


def place(key: str) -> float:
    """0..1, even over keys and the same for a key always; below `VALIDATION_SHARE` the pair is one of validation."""
    return int(hashlib.sha256(f"validation {key}".encode()).hexdigest()[:8], 16) / 2**32


def validation_keys(keys: set[str]) -> list[str]:
    """The keys of validation among those of pairs that may be trained on, sorted: one at least when there are `LEAST`."""
    chosen = sorted(key for key in keys if place(key) < VALIDATION_SHARE)
    return chosen if chosen or len(keys) < LEAST else [min(keys, key=place)]


def choose_validation(store: Store) -> Manifest:
    """Writes `verdicts/validation.parquet` (key): pairs that the safety stage keeps and that no stage may learn from, CLIP included.

    `UserError` when the safety stage is not decided.
    """
    keys = validation_keys(kept_keys(store, "safety") - read_keys(store, HELD_OUT_KEYS))
    return write_keys(store, VALIDATION_KEYS, keys)


def write_keys(store: Store, name: str, keys: list[str]) -> Manifest:
    """Writes `name`.parquet (key) and its manifest, unless they are there already; gives the manifest."""
    inputs = {"keys": settings_digest(keys)}
    if is_done(store, f"{name}.json", inputs, {}):
        return required(store, f"{name}.json", "decide again")
    write_parquet(store, f"{name}.parquet", pa.table({"key": pa.array(keys, pa.string())}), manifest=f"{name}.json")
    manifest = make_manifest(store, "verdicts", [f"{name}.parquet"], inputs=inputs, counts={"rows": len(keys)})
    return write_manifest(store, f"{name}.json", manifest)


def read_keys(store: Store, name: str) -> set[str]:
    """The keys of `HELD_OUT_KEYS` or `VALIDATION_KEYS`; none when nobody has set any apart."""
    return set(read_table(store.path(f"{name}.parquet"), columns=["key"])["key"].to_pylist()) if store.exists(f"{name}.parquet") else set()


def withheld(store: Store) -> set[str]:
    """The keys of all pairs that no stage may learn from."""
    return read_keys(store, HELD_OUT_KEYS) | read_keys(store, VALIDATION_KEYS)

"""Features: the Parquet columns of a batch, and the manifests that steps before must have written."""

from collections.abc import Mapping

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, make_manifest, read_manifest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store


def batches(store: Store) -> list[str]:
    """The names of the crawl batches that are finished, sorted."""
    parts = [name.split("/") for name in store.names("crawl/")]
    return sorted(part[1] for part in parts if len(part) == 3 and part[2] == "manifest.json")


def required(store: Store, name: str, remedy: str) -> Manifest:
    """The manifest of a step that must have run before; `UserError` with the remedy when it has not."""
    manifest = read_manifest(store, name)
    if manifest is None:
        raise UserError(f"{name} is not in {store}, so a step that comes before is missing; {remedy}")
    return manifest


def crawl_manifest(store: Store, batch: str) -> Manifest:
    """The manifest of a finished crawl batch; `UserError` when it is not finished."""
    return required(store, f"crawl/{batch}/manifest.json", f"run the crawl of batch {batch!r} to its end first")


def kept_keys(store: Store, stage: str) -> set[str]:
    """The keys that a decided stage keeps; `UserError` when it is not decided."""
    required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first")
    rows = read_table(store.path(f"verdicts/{stage}.parquet"), columns=["key"], filters=[("keep", "==", True)])
    return set(rows["key"].to_pylist())


def write_features(
    store: Store,
    name: str,
    rows: pa.Table,
    inputs: Mapping[str, str],
    settings: Mapping[str, object],
    counts: Mapping[str, int | float] | None = None,
) -> Manifest:
    """Writes `features/<name>.parquet` and, last, its manifest `features/<name>.json`, whose counts are the rows and `counts`."""
    file = f"features/{name}.parquet"
    write_parquet(store, file, rows, manifest=f"features/{name}.json")
    manifest = make_manifest(store, "features", [file], inputs=inputs, settings=settings, counts={"rows": rows.num_rows, **(counts or {})})
    return write_manifest(store, f"features/{name}.json", manifest)

"""This file is how a scorer runs over a batch: in pieces, in worker processes, resumed where it was killed."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.shards import Sample, read_shard, shard_names, write_parquet
from unclip_pairs.store import Store

PIECE_SIZE = 128
Row = dict[str, Any]
Score = Callable[[Sample], Row]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Turns samples into columns.

    `load` runs once per worker process and gives the function that scores one sample. `version` rises whenever an answer may change;
    every batch is then scored anew.
    """

    name: str
    version: int
    schema: pa.Schema
    load: Callable[[], Score]

    @property
    def settings(self) -> dict[str, Any]:
        return {"scorer": self.name, "version": self.version, "columns": self.schema.names}


@dataclass(frozen=True)
class Piece:
    """Samples of one shard that are scored together and stored as one Parquet file."""

    shard: str
    keys: frozenset[str]
    name: str


def silent(done: int, total: int) -> None:
    """A progress that says nothing."""


def batches(store: Store) -> list[str]:
    """The names of the crawl batches that are finished, sorted."""
    parts = [name.split("/") for name in store.names("crawl/")]
    return sorted(part[1] for part in parts if len(part) == 3 and part[2] == "manifest.json")


def required(store: Store, name: str, remedy: str) -> Manifest:
    """The manifest of a step that must have run before; `UserError` with the remedy when it has not."""
    manifest = read_manifest(store, name)
    if manifest is None:
        raise UserError(f"{name} is not in {store.root}, so a step that comes before is missing; {remedy}")
    return manifest


def crawl_manifest(store: Store, batch: str) -> Manifest:
    """The manifest of a finished crawl batch; `UserError` when it is not finished."""
    return required(store, f"crawl/{batch}/manifest.json", f"run the crawl of batch {batch!r} to its end first")


def kept_keys(store: Store, stage: str) -> set[str]:
    """The keys that a decided stage keeps; `UserError` when it is not decided."""
    required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first")
    rows = read_table(store.path(f"verdicts/{stage}.parquet"), columns=["key"], filters=[("keep", "==", True)])
    return set(rows["key"].to_pylist())


def write_features(store: Store, name: str, rows: pa.Table, inputs: dict[str, str], settings: dict[str, Any]) -> Manifest:
    """Writes `features/<name>.parquet` and, last, its manifest `features/<name>.json`."""
    file = f"features/{name}.parquet"
    write_parquet(store, file, rows)
    manifest = make_manifest(store, "features", [file], inputs=inputs, settings=settings, counts={"rows": rows.num_rows})
    return write_manifest(store, f"features/{name}.json", manifest)


def score_batch(
    store: Store, batch: str, scorer: Scorer, keys: set[str] | None = None, workers: int = 2, progress: Progress = silent
) -> Manifest:
    """Scores the pictures of `keys` (None: all of the batch) and writes `features/<batch>/<scorer>.parquet`, its manifest last.

    Rows scored before by the same version are kept, so a policy that keeps more rows costs only those rows. A killed run leaves
    its finished pieces behind, and the next run takes them up.
    """
    name, inputs = f"{batch}/{scorer.name}", {"crawl": crawl_manifest(store, batch).digest}
    before = _scored_before(store, name, scorer)
    pieces = list(_pieces(store, batch, scorer, set(before["key"].to_pylist()), keys))
    manifest = read_manifest(store, f"features/{name}.json")
    if manifest is not None and not pieces and (manifest.inputs, manifest.settings) == (inputs, scorer.settings):
        return manifest
    _run(store, scorer, [piece for piece in pieces if not store.exists(piece.name)], workers, progress)
    tables = [before, *(read_table(store.path(piece.name), schema=scorer.schema) for piece in pieces)]
    manifest = write_features(store, name, pa.concat_tables(tables).sort_by("key"), inputs, scorer.settings)
    for piece in pieces:
        store.path(piece.name).unlink(missing_ok=True)
    return manifest


def _scored_before(store: Store, name: str, scorer: Scorer) -> pa.Table:
    """The rows of an earlier run that still hold."""
    manifest = read_manifest(store, f"features/{name}.json")
    if manifest is None or manifest.settings != scorer.settings or not store.exists(f"features/{name}.parquet"):
        return scorer.schema.empty_table()
    return read_table(store.path(f"features/{name}.parquet"), schema=scorer.schema)


def _pieces(store: Store, batch: str, scorer: Scorer, done: set[str], wanted: set[str] | None) -> Iterator[Piece]:
    """The missing work. The name of a piece holds a digest of its keys, so a leftover of other work is never taken for it."""
    for shard in shard_names(store, f"crawl/{batch}/shard-"):
        rows = read_table(store.path(f"{shard}.parquet"), columns=["key"])
        keys = [key for key in rows["key"].to_pylist() if key not in done and (wanted is None or key in wanted)]
        for start in range(0, len(keys), PIECE_SIZE):
            part = keys[start : start + PIECE_SIZE]
            digest = settings_digest([scorer.settings, part])[:16]
            yield Piece(shard, frozenset(part), f"features/{batch}/pieces/{scorer.name}-{digest}.parquet")


def _run(store: Store, scorer: Scorer, pieces: list[Piece], workers: int, progress: Progress) -> None:
    """Scores the pieces; one worker means this very process."""
    total = sum(len(piece.keys) for piece in pieces)
    if workers <= 1 or len(pieces) <= 1:
        score, done = scorer.load(), 0
        for piece in pieces:
            done += _score_piece(store, scorer, piece, score)
            progress(done, total)
    else:
        _run_parallel(store, scorer, pieces, workers, progress)


def _run_parallel(store: Store, scorer: Scorer, pieces: list[Piece], workers: int, progress: Progress) -> None:
    """Processes, not threads: onnxruntime 1.32 holds the interpreter while a network runs."""
    total, done = sum(len(piece.keys) for piece in pieces), 0
    with ProcessPoolExecutor(min(workers, len(pieces)), get_context("spawn"), _start_worker, (scorer,)) as pool:
        futures = [pool.submit(_score_in_worker, store, piece) for piece in pieces]
        try:
            for future in as_completed(futures):
                done += future.result()
                progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _score_piece(store: Store, scorer: Scorer, piece: Piece, score: Score) -> int:
    """The number of samples scored and stored."""
    rows = [score(sample) for sample in read_shard(store, piece.shard) if sample["__key__"] in piece.keys]
    write_parquet(store, piece.name, pa.Table.from_pylist(rows, schema=scorer.schema))
    return len(rows)


_loaded: dict[str, tuple[Scorer, Score]] = {}


def _start_worker(scorer: Scorer) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _loaded["worker"] = (scorer, scorer.load())


def _end_with_parent() -> None:
    """A parent that is killed leaves no worker behind."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _score_in_worker(store: Store, piece: Piece) -> int:
    scorer, score = _loaded["worker"]
    return _score_piece(store, scorer, piece, score)

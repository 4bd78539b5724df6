"""How scorers run over a batch: in pieces, on any engine, resumed where they were killed.

Scorers that run together share each piece's samples, so a picture is read and decoded once for all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.engines.processes import Engine, Work, engine_of
from unclip_curation.features import crawl_manifest, write_features
from unclip_pairs.manifest import Manifest, read_manifest, settings_digest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.shards import Sample, read_shard, shard_names, write_parquet
from unclip_pairs.store import Store

PAGE_TEXTS = ("alt", "title", "figcaption", "text_before", "text_after")
_WORDS = pa.schema([CRAWL_SCHEMA.field(name) for name in ("key", "caption", *PAGE_TEXTS)])
PIECE_SIZE = 128
CAPTION_PIECE = 8192
Row = Mapping[str, object]
Score = Callable[[Sequence[Sample]], Sequence[Row]]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Turns a batch of samples into one row of columns each.

    `load` runs once per worker process and gives the batch function. `version` rises whenever an answer may change; every batch is then
    scored anew. `reads` "picture" gives samples as the shards hold them, stored pictures only; "caption" gives every crawled row, with
    `txt` and what its page says beside it (`PAGE_TEXTS`, text or None). `stage` names the decided stage whose kept rows are scored when
    nobody says otherwise; None means all rows.
    """

    name: str
    version: int
    schema: pa.Schema
    load: Callable[[], Score]
    about: str
    cost: str
    reads: Literal["picture", "caption"] = "picture"
    stage: str | None = None

    @property
    def settings(self) -> dict[str, object]:
        return {"scorer": self.name, "version": self.version, "columns": self.schema.names}


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A scorer that reads other scorers' columns and no pixels: `run(store, batch)` writes its columns and gives their manifest."""

    name: str
    version: int
    schema: pa.Schema
    run: Callable[[Store, str], Manifest]
    about: str
    cost: str


def each(score: Callable[[Sample], Row]) -> Score:
    """The batch function of a function that scores one sample at a time."""
    return lambda samples: [score(sample) for sample in samples]


@dataclass(frozen=True)
class ScoringPiece:
    """Samples of one shard (or of the crawl's rows) that are scored together; `files` are what each scorer's answers are stored as."""

    source: str
    keys: tuple[str, ...]
    files: dict[str, str]


def score_batch(
    store: Store, batch: str, scorer: Scorer, keys: set[str] | None = None, workers: Engine | int = 2, progress: Progress = silent
) -> Manifest:
    """Scores the rows of `keys` (None: all of the batch) and writes `features/<batch>/<scorer>.parquet`, its manifest last.

    Rows scored before by the same version are kept, so a policy that keeps more rows costs only those rows. A killed run leaves
    its finished pieces behind, and the next run takes them up.
    """
    return score_together(store, batch, [scorer], keys, workers, progress)[0]


def score_together(
    store: Store,
    batch: str,
    scorers: Sequence[Scorer],
    keys: set[str] | None = None,
    workers: Engine | int = 2,
    progress: Progress = silent,
) -> list[Manifest]:
    """Each scorer's manifest, as `score_batch` gives it; a sample is read and decoded once for all scorers that miss it."""
    assert len({scorer.reads for scorer in scorers}) == 1, "scorers that run together read the same thing"
    crawl = crawl_manifest(store, batch)
    before = {scorer.name: _scored_before(store, batch, scorer) for scorer in scorers}
    missing = {scorer.name: _missing(store, batch, scorer, before[scorer.name], keys) for scorer in scorers}
    pieces = [piece for piece in _united(missing.values()) if not all(store.exists(file) for file in piece.files.values())]
    _run(store, scorers, pieces, workers, progress)
    return [_finished(store, batch, scorer, crawl, before[scorer.name], missing[scorer.name]) for scorer in scorers]


def _scored_before(store: Store, batch: str, scorer: Scorer) -> pa.Table:
    """The rows of an earlier run that still hold."""
    name = f"features/{batch}/{scorer.name}"
    manifest = read_manifest(store, f"{name}.json")
    if manifest is None or manifest.settings != scorer.settings or not store.exists(f"{name}.parquet"):
        return scorer.schema.empty_table()
    return read_table(store.path(f"{name}.parquet"), schema=scorer.schema)


def _missing(store: Store, batch: str, scorer: Scorer, before: pa.Table, wanted: set[str] | None) -> list[ScoringPiece]:
    """The missing work. The name of a file holds a digest of its keys, so a leftover of other work is never taken for it."""
    pieces, done = list[ScoringPiece](), set[str](before["key"].to_pylist())
    size = PIECE_SIZE if scorer.reads == "picture" else CAPTION_PIECE
    for source in _sources(store, batch, scorer.reads):
        rows = read_table(store.path(f"{source}.parquet"), columns=["key"])["key"].to_pylist()
        keys = [key for key in dict.fromkeys(rows) if key not in done and (wanted is None or key in wanted)]
        for start in range(0, len(keys), size):
            part = tuple(keys[start : start + size])
            digest = settings_digest([scorer.settings, part])[:16]
            pieces.append(ScoringPiece(source, part, {scorer.name: f"features/{batch}/pieces/{scorer.name}-{digest}.parquet"}))
    return pieces


def _sources(store: Store, batch: str, reads: str) -> list[str]:
    return shard_names(store, f"crawl/{batch}/shard-") if reads == "picture" else [f"crawl/{batch}/rows"]


def _united(missing: Iterable[list[ScoringPiece]]) -> list[ScoringPiece]:
    """Pieces of the same samples become one."""
    found: dict[tuple[str, tuple[str, ...]], ScoringPiece] = {}
    for piece in (piece for pieces in missing for piece in pieces):
        found.setdefault((piece.source, piece.keys), ScoringPiece(piece.source, piece.keys, {})).files.update(piece.files)
    return list(found.values())


def _finished(store: Store, batch: str, scorer: Scorer, crawl: Manifest, before: pa.Table, pieces: list[ScoringPiece]) -> Manifest:
    """The manifest of a scorer whose pieces are all there; it is written anew only when something changed."""
    name, inputs = f"{batch}/{scorer.name}", {"crawl": crawl.digest}
    manifest = read_manifest(store, f"features/{name}.json")
    if manifest is not None and not pieces and (manifest.inputs, manifest.settings) == (inputs, scorer.settings):
        return manifest
    files = [file for piece in pieces for file in piece.files.values() if file.startswith(f"features/{batch}/pieces/{scorer.name}-")]
    tables = [before, *(read_table(store.path(file), schema=scorer.schema) for file in files)]
    manifest = write_features(store, name, pa.concat_tables(tables).sort_by("key"), inputs, scorer.settings)
    for file in files:
        store.remove(file)
    return manifest


def _run(store: Store, scorers: Sequence[Scorer], pieces: list[ScoringPiece], workers: Engine | int, progress: Progress) -> None:
    """Scores the pieces on an engine, or in so many processes."""
    total, done = sum(len(piece.keys) for piece in pieces), 0
    if pieces:
        for rows in engine_of(workers).run(partial(_load_work, store, tuple(scorers)), pieces):
            done += rows
            progress(done, total)


def _load_work(store: Store, scorers: Sequence[Scorer]) -> Work[ScoringPiece]:
    return partial(_score_piece, store, _load(scorers))


Loaded = dict[str, tuple[Scorer, Score]]


def _load(scorers: Iterable[Scorer]) -> Loaded:
    return {scorer.name: (scorer, scorer.load()) for scorer in scorers}


def _score_piece(store: Store, loaded: Loaded, piece: ScoringPiece) -> int:
    """The number of samples scored and stored. A file that a killed run left behind is not made again."""
    files = {name: file for name, file in piece.files.items() if not store.exists(file)}
    samples = _captions(store, piece) if piece.source.endswith("/rows") else list(read_shard(store, piece.source, set(piece.keys)))
    for name, file in files.items():
        scorer, score = loaded[name]
        rows = list(score(samples))
        assert len(rows) == len(samples), f"the scorer {name} gave {len(rows)} rows for {len(samples)} samples"
        write_parquet(store, file, pa.Table.from_pylist(rows, schema=scorer.schema))
    return len(samples)


def _captions(store: Store, piece: ScoringPiece) -> list[Sample]:
    """The captions of a piece, and what the pages say beside them, as samples without pictures; a row without a caption has an empty one.

    Rows are sorted by key, so the range lets all but a few row groups unread; what is in memory does not grow with the crawl.
    """
    first, last = min(piece.keys), max(piece.keys)
    filters = [("key", ">=", first), ("key", "<=", last), ("key", "in", list(piece.keys))]
    rows = {row["key"]: row for row in read_table(store.path(f"{piece.source}.parquet"), schema=_WORDS, filters=filters).to_pylist()}
    page_texts = {key: {name: row[name] for name in PAGE_TEXTS} for key, row in rows.items()}
    return [{"__key__": key, "txt": (rows[key]["caption"] or "").encode(), **page_texts[key]} for key in piece.keys]

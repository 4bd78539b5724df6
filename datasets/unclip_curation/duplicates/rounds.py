"""Rounds of the search for duplicates: what was compared with what, and what is new.

Within the index of a round, which is its new rows and the rows that it knew, every pair has been looked at. The next round knows those of
the index that still stand: kept by the safety stage and not dropped by the last decision on duplicates. All others that the safety stage
keeps are new, but for those that the last decision dropped; should a later decision take one of them back, it is new in the round after.
"""

from dataclasses import dataclass, replace

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.schemas import CANDIDATE_SCHEMA, SEARCHED_SCHEMA
from unclip_pairs.manifest import make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store


@dataclass(frozen=True)
class SearchRound:
    """One round. `searched` (`SEARCHED_SCHEMA`) names every row that was ever compared; it is complete when the round is finished."""

    folder: str
    number: int
    inputs: dict[str, str]
    known: list[str]
    new: list[str]
    searched: pa.Table

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.number:05d}"


def folder_of(settings: dict[str, object]) -> str:
    """Where the rounds of a search with these settings lie."""
    return f"duplicates/{settings_digest(settings)[:12]}"


def last_round(store: Store, settings: dict[str, object]) -> SearchRound | None:
    """The last finished round of a search with these settings; None when there is none yet."""
    folder, number = folder_of(settings), 0
    while store.exists(f"{folder}/{number:05d}.json"):
        number += 1
    manifest = read_manifest(store, f"{folder}/{number - 1:05d}.json") if number else None
    if manifest is None:
        return None
    searched = read_table(store.path(f"{folder}/{number - 1:05d}-searched.parquet"))
    return SearchRound(folder, number - 1, manifest.inputs, [], [], searched)


def begin(store: Store, last: SearchRound | None, settings: dict[str, object], inputs: dict[str, str], kept: set[str]) -> SearchRound:
    """The round that has to be carried out now that the safety stage keeps `kept`."""
    if last is None:
        return SearchRound(folder_of(settings), 0, inputs, [], sorted(kept), SEARCHED_SCHEMA.empty_table())
    dropped = _dropped(store)
    indexed = set(last.searched.filter(last.searched["indexed"])["key"].to_pylist())
    known = (indexed & kept) - dropped
    new = kept - known - (dropped & set(last.searched["key"].to_pylist()))
    return SearchRound(last.folder, last.number + 1, inputs, sorted(known), sorted(new), last.searched)


def _dropped(store: Store) -> set[str]:
    """What the last decision on duplicates did not keep; nothing when there is none."""
    if read_manifest(store, "verdicts/duplicate.json") is None:
        return set()
    verdicts = read_table(store.path("verdicts/duplicate.parquet"), columns=["key", "keep"])
    return {row["key"] for row in verdicts.to_pylist() if not row["keep"]}


def finish(store: Store, now: SearchRound, found: pa.Table | None, similarities: pa.Array | None = None) -> SearchRound:
    """Writes the round, its manifest last; `found` are its candidates, None when there was nothing to compare."""
    searched = _searched(now, similarities)
    files = [f"{now.name}-searched.parquet", f"{now.name}-candidates.parquet"]
    write_parquet(store, files[0], searched)
    write_parquet(store, files[1], CANDIDATE_SCHEMA.empty_table() if found is None else found)
    counts = {"known": len(now.known), "new": len(now.new), "candidates": 0 if found is None else found.num_rows}
    write_manifest(store, f"{now.name}.json", make_manifest(store, "duplicate_round", files, inputs=now.inputs, counts=counts))
    return replace(now, searched=searched)


def _searched(now: SearchRound, similarities: pa.Array | None) -> pa.Table:
    """Every row that was ever compared: the round in which it was new, and whether it is in the index."""
    before = {row["key"]: row for row in now.searched.to_pylist()}
    index = {*now.known, *now.new}
    rows = before | {key: {"key": key, "round": now.number, "similarity": None} for key in now.new}
    known = dict(zip(now.new, similarities.to_pylist(), strict=True)) if similarities is not None else {}
    table = [row | {"indexed": key in index, "similarity": known.get(key, row["similarity"])} for key, row in sorted(rows.items())]
    return pa.Table.from_pylist(table, schema=SEARCHED_SCHEMA)


def all_candidates(store: Store, last: SearchRound) -> pa.Table:
    """The candidates of all rounds, each pair once in each rotation that it was found in."""
    names = [f"{last.folder}/{number:05d}-candidates.parquet" for number in range(last.number + 1)]
    tables = [read_table(store.path(name), schema=CANDIDATE_SCHEMA) for name in names]
    if len(tables) == 1:
        return tables[0]
    table = pa.concat_tables(tables)
    order = ["a", "b", "rotation"]
    seen, once = set[tuple[str, str, int]](), list[int]()
    for place, pair in enumerate(zip(*(table[name].to_pylist() for name in order), strict=True)):
        if pair not in seen:
            seen.add(pair)
            once.append(place)
    return table.take(pa.array(once, pa.int64())).sort_by([(name, "ascending") for name in order])

"""This file is decisions: a policy's SQL over all columns gives one verdict per crawled row."""

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.columns import VERDICT_SCHEMA
from unclip_curation.groups import redundant
from unclip_curation.policy import Policy
from unclip_curation.scoring import batches, required
from unclip_curation.tables import add_policy, embedding_files, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, write_manifest
from unclip_pairs.schema import REASONS
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

STAGES = ("rule", "safety", "duplicate", "final")
DUPLICATE_REASONS = ("duplicate_exact", "duplicate_perceptual", "duplicate_semantic")
# Every stage fails closed: (features that must be there, per batch; and per store), with what to do when they are not.
_NEEDED = {
    "rule": (("picture", "caption"), ()),
    "safety": (("picture", "caption", "safety", "blocklist"), ("agreement",)),
    "duplicate": (("picture", "caption", "safety", "blocklist"), ("agreement", "duplicates")),
    "final": (("picture", "caption", "safety", "blocklist"), ("agreement", "duplicates")),
}


def decide(store: Store, stage: str, policy: Policy, embeddings: str | None = None) -> Manifest:
    """Writes `verdicts/<stage>.parquet` (`VERDICT_SCHEMA`): every crawled key with all reasons found up to this stage.

    `embeddings` is the folder under `embeddings/` that the final stage reads similarities from. `UserError` when a scorer that the
    stage relies on has not run, or not on all rows it must judge.
    """
    inputs, settings = _inputs(store, stage, embeddings), {"stage": stage, "policy_version": policy.version, "policy": policy.settings}
    name = f"verdicts/{stage}"
    if is_done(store, f"{name}.json", inputs, settings):
        return required(store, f"{name}.json", "decide again")
    verdicts = decided(store, stage, policy, embeddings)
    write_parquet(store, f"{name}.parquet", verdicts)
    manifest = make_manifest(store, "verdicts", [f"{name}.parquet"], inputs=inputs, settings=settings, counts=_tally(verdicts))
    return write_manifest(store, f"{name}.json", manifest)


def decided(store: Store, stage: str, policy: Policy, embeddings: str | None = None) -> pa.Table:
    """The verdicts of a stage as a table sorted by key; nothing is written. Errors as in `decide`."""
    _inputs(store, stage, embeddings)
    with open_tables(store, embeddings) as connection:
        add_policy(connection, policy)
        try:
            _find(connection, stage)
            return _verdicts(connection, policy)
        except duckdb.Error as error:
            raise UserError(f"the policy's SQL does not run ({' '.join(str(error).split())}); put it right") from error


def _inputs(store: Store, stage: str, embeddings: str | None) -> dict[str, str]:
    """The digests of all the columns that the stage reads."""
    if stage not in STAGES:
        raise UserError(f"the stage {stage!r} does not exist; choose one of {', '.join(STAGES)}")
    per_batch, per_store = _NEEDED[stage]
    names = [f"crawl/{batch}/manifest" for batch in batches(store)]
    names += [f"features/{batch}/{scorer}" for batch in batches(store) for scorer in per_batch]
    names += [f"features/{scorer}" for scorer in per_store]
    if stage == "final":
        names += [file.removesuffix(".parquet") for file in embedding_files(store, embeddings)]
    remedy = f"run the scorers that the stage {stage!r} relies on first"
    return {name: required(store, f"{name}.json", remedy).digest for name in names}


def _find(connection: duckdb.DuckDBPyConnection, stage: str) -> None:
    """Fills the table `findings` with what the stages up to `stage` object to."""
    connection.execute("CREATE TABLE findings (key VARCHAR, reason VARCHAR)")
    steps = STAGES[: STAGES.index(stage) + 1]
    connection.execute("INSERT INTO findings SELECT DISTINCT key, reason FROM rule_findings")
    if "safety" in steps:
        _check_scored(connection)
        _add(connection, "safety_findings")
    if "duplicate" in steps:
        _add_duplicates(connection)
    if "final" in steps:
        _add(connection, "final_findings")


def _add(connection: duckdb.DuckDBPyConnection, found: str) -> None:
    """Adds what a stage finds, also against rows that go already: a listed picture is explicit whatever its caption."""
    connection.execute(f"INSERT INTO findings SELECT DISTINCT key, reason FROM {found}")


def _check_scored(connection: duckdb.DuckDBPyConnection) -> None:
    """A row without a safety score must never pass as safe."""
    query = "SELECT count(*) FROM pairs WHERE key NOT IN (SELECT key FROM findings) AND key NOT IN (SELECT key FROM safety)"
    row = connection.execute(query).fetchone()
    if row is not None and row[0]:
        raise UserError(f"{row[0]} kept rows have no safety scores yet; run the safety scorer again before this stage")


def _add_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    kept = "key NOT IN (SELECT key FROM findings)"
    places = dict(connection.execute(f"SELECT key, place FROM standing WHERE {kept}").fetchall())
    edges = connection.execute("SELECT DISTINCT a, b, reason FROM duplicate_edges").fetchall()
    unknown = {reason for _, _, reason in edges} - set(DUPLICATE_REASONS)
    if unknown:
        raise UserError(f"duplicate_edges gives the reason {min(unknown)!r}; choose one of {', '.join(DUPLICATE_REASONS)}")
    found = redundant(edges, places, DUPLICATE_REASONS)
    rows = [{"key": key, "reason": reason, "stays": stays} for key, (reason, stays) in sorted(found.items())]
    schema = pa.schema([("key", pa.string()), ("reason", pa.string()), ("stays", pa.string())])
    connection.register("redundant", pa.Table.from_pylist(rows, schema=schema))
    connection.execute("INSERT INTO findings SELECT key, reason FROM redundant")


def _verdicts(connection: duckdb.DuckDBPyConnection, policy: Policy) -> pa.Table:
    unknown = connection.execute("SELECT DISTINCT reason FROM findings").fetchall()
    for (reason,) in unknown:
        if reason not in REASONS:
            raise UserError(f"the policy's SQL gives the reason {reason!r}, which is not in the closed list {', '.join(REASONS)}")
    connection.execute(
        "CREATE TABLE found AS SELECT key, list(DISTINCT reason ORDER BY reason) AS reasons FROM findings GROUP BY key;"
        "CREATE TABLE weighed AS SELECT key, min(weight) AS weight FROM weights GROUP BY key"
    )
    table = connection.sql(
        "SELECT key, reasons IS NULL AS keep, coalesce(reasons, []) AS reasons,"
        " CASE WHEN reasons IS NULL THEN coalesce(weight, 1) ELSE 0 END AS weight"
        " FROM pairs LEFT JOIN found USING (key) LEFT JOIN weighed USING (key) ORDER BY key"
    ).to_arrow_table()
    version = pa.array([policy.version] * table.num_rows, pa.string())
    return table.append_column("policy_version", version).cast(VERDICT_SCHEMA)


def _tally(verdicts: pa.Table) -> dict[str, int | float]:
    """How many rows there are, how many stay, and how many each reason met."""
    counts: dict[str, int | float] = {"rows": verdicts.num_rows, "kept": sum(verdicts["keep"].to_pylist())}
    for reasons in verdicts["reasons"].to_pylist():
        for reason in reasons:
            counts[reason] = counts.get(reason, 0) + 1
    return counts


def counts(store: Store, stage: str) -> dict[str, int | float]:
    """ "rows", "kept" and the number of rows by reason of a decided stage; `UserError` when it is not decided."""
    return required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first").counts


def read_verdicts(store: Store, stage: str) -> pa.Table:
    """The verdicts of a decided stage; `UserError` when it is not decided."""
    required(store, f"verdicts/{stage}.json", f"decide the stage {stage!r} first")
    return read_table(store.path(f"verdicts/{stage}.parquet"))


def latest_stage(store: Store) -> str:
    """The last stage that has been decided; `UserError` when none has."""
    decided_stages = [stage for stage in STAGES if read_manifest(store, f"verdicts/{stage}.json") is not None]
    if not decided_stages:
        raise UserError(f"there are no verdicts in {store.root}; crawl and curate first")
    return decided_stages[-1]


@dataclass(frozen=True)
class Diff:
    """What changes from policy a to policy b: keys that come in and that go out, by the reason that kept them out or now does."""

    stage: str
    kept_a: int
    kept_b: int
    came: dict[str, list[str]]
    went: dict[str, list[str]]

    def __str__(self) -> str:
        lines = [f"stage {self.stage}: {self.kept_a} kept under a, {self.kept_b} under b"]
        for word, groups in (("come in, no longer", self.came), ("go out, now", self.went)):
            lines += [
                f"  {len(keys)} {word} {reason}: {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}" for reason, keys in groups.items()
            ]
        return "\n".join(lines)


def policy_diff(store: Store, a: Policy, b: Policy, stage: str = "rule", embeddings: str | None = None) -> Diff:
    """Who would come and who would go if b took the place of a; nothing is written. Errors as in `decide`."""
    before, after = (_by_key(decided(store, stage, policy, embeddings)) for policy in (a, b))
    came, went = dict[str, list[str]](), dict[str, list[str]]()
    for key in sorted(before):
        if before[key]["keep"] != after[key]["keep"]:
            groups, reasons = (came, before[key]["reasons"]) if after[key]["keep"] else (went, after[key]["reasons"])
            for reason in reasons:
                groups.setdefault(reason, []).append(key)
    kept = [sum(row["keep"] for row in rows.values()) for rows in (before, after)]
    return Diff(stage, kept[0], kept[1], dict(sorted(came.items())), dict(sorted(went.items())))


def _by_key(verdicts: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in verdicts.to_pylist()}

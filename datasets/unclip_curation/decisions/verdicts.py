"""Decisions: a policy's SQL over all columns gives one verdict per crawled row."""

import duckdb
import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.decisions.rules import STAGES, find
from unclip_curation.duplicates.leaks import must_be_compared
from unclip_curation.features import batches, required
from unclip_curation.policy import Policy
from unclip_curation.schemas import VERDICT_SCHEMA
from unclip_curation.scorers.identities import gallery_digest, is_current
from unclip_curation.tables import PER_BATCH, PER_STORE, add_policy, embedding_files, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, is_done, make_manifest, read_manifest, write_manifest
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns


def decide(store: Store, stage: str, policy: Policy, embeddings: str | None = None) -> Manifest:
    """Writes `verdicts/<stage>.parquet` (`VERDICT_SCHEMA`): every crawled key with all reasons found up to this stage.

    `embeddings` is the folder under `embeddings/` that the final stage reads similarities from. `UserError` when a scorer that the
    stage relies on has not run, or not on all rows it must judge.
    """
    inputs, settings = (
        inputs_of(store, stage, policy, embeddings),
        {"stage": stage, "policy_version": policy.version, "policy": policy.settings, "sql": policy.sql},
    )
    name = f"verdicts/{stage}"
    if is_done(store, f"{name}.json", inputs, settings):
        return required(store, f"{name}.json", "decide again")
    verdicts = decided(store, stage, policy, embeddings)
    write_parquet(store, f"{name}.parquet", verdicts, manifest=f"{name}.json")
    manifest = make_manifest(store, "verdicts", [f"{name}.parquet"], inputs=inputs, settings=settings, counts=_tally(verdicts))
    return write_manifest(store, f"{name}.json", manifest)


def decided(store: Store, stage: str, policy: Policy, embeddings: str | None = None) -> pa.Table:
    """The verdicts of a stage as a table sorted by key; nothing is written. Errors as in `decide`."""
    inputs_of(store, stage, policy, embeddings)
    with open_tables(store, embeddings) as connection:
        add_policy(connection, policy)
        try:
            find(connection, store, policy, stage)
            return _verdicts(connection, policy)
        except duckdb.Error as error:
            raise UserError(f"the policy's SQL does not run ({' '.join(str(error).split())}); put it right") from error


def inputs_of(store: Store, stage: str, policy: Policy, embeddings: str | None) -> dict[str, str]:
    """The digests of all the columns that the stage reads. A scorer that the policy names must have run: every stage fails closed."""
    if stage not in STAGES:
        raise UserError(f"the stage {stage!r} does not exist; choose one of {', '.join(STAGES)}")
    steps, names = STAGES[: STAGES.index(stage) + 1], batches(store)
    asked = [f"crawl/{batch}/manifest" for batch in names]
    for scorer, columns in (PER_BATCH | PER_STORE).items():
        if columns.stage in steps:
            files = [f"features/{batch}/{scorer}" for batch in names] if scorer in PER_BATCH else [f"features/{scorer}"]
            if scorer == "probe":
                asked += files if policy.probes else []
                continue
            if scorer == "identities":
                _check_gallery(store, names)
            asked += [file for file in files if scorer in policy.scorers or store.exists(f"{file}.json")]
    if stage == "final":
        must_be_compared(store)
        asked += [file.removesuffix(".parquet") for file in embedding_files(store, embeddings)]
    remedy = f"run the scorers that the stage {stage!r} relies on first"
    taken = read_takedowns(store).digest
    return {name: required(store, f"{name}.json", remedy).digest for name in asked} | ({"takedowns": taken} if taken else {})


def _check_gallery(store: Store, names: list[str]) -> None:
    """Whoever enrolled an identity relies on it: pictures that the present gallery did not judge must not pass."""
    behind = [batch for batch in names if not is_current(store, batch)] if gallery_digest(store) else []
    if behind:
        raise UserError(f"the batch {behind[0]!r} was not held against the present identities; run `unclip data score identities` first")


def embeddings_of(manifest: Manifest) -> str | None:
    """The folder under `embeddings/` that a final stage was decided from; None when it read no similarities."""
    return min({name.split("/")[1] for name in manifest.inputs if name.startswith("embeddings/")}, default=None)


def _verdicts(connection: duckdb.DuckDBPyConnection, policy: Policy) -> pa.Table:
    connection.execute(
        "CREATE TABLE found AS SELECT key, list(reason) AS others FROM findings GROUP BY key;"
        "CREATE TABLE weighed AS SELECT key, min(weight) AS weight FROM weights GROUP BY key"
    )
    table = connection.sql(
        "SELECT key, all_reasons = [] AS keep, all_reasons AS reasons,"
        " CASE WHEN all_reasons = [] THEN coalesce(weighed.weight, policy.weight) ELSE 0 END AS weight,"
        " CASE WHEN all_reasons = [] THEN blur END AS blur"
        " FROM (SELECT key, blur, CASE WHEN others IS NULL AND len(reasons) < 2 THEN reasons"
        "       ELSE list_sort(list_distinct(list_concat(reasons, others))) END AS all_reasons FROM judged LEFT JOIN found USING (key))"
        " LEFT JOIN weighed USING (key), policy ORDER BY key"
    ).to_arrow_table()
    version = pa.repeat(pa.scalar(policy.version), table.num_rows)
    return table.append_column("policy_version", version).select(VERDICT_SCHEMA.names).cast(VERDICT_SCHEMA)


def _tally(verdicts: pa.Table) -> dict[str, int | float]:
    """How many rows there are, how many stay, and how many each reason met."""
    by_reason = verdicts["reasons"].combine_chunks().flatten().value_counts().to_pylist()
    kept = verdicts["keep"].combine_chunks().true_count
    return {"rows": verdicts.num_rows, "kept": kept, **{found["values"]: found["counts"] for found in by_reason}}


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
        raise UserError(f"there are no verdicts in {store}; crawl and curate first")
    return decided_stages[-1]

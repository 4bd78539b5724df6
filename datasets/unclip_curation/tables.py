"""Tables that a policy's SQL may ask: the crawl's rows and every scorer's columns, over Parquet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from unclip_curation.features import batches
from unclip_curation.policy import Policy
from unclip_curation.schemas import (
    AESTHETIC_SCHEMA,
    AGREEMENT_SCHEMA,
    BLOCK_SCHEMA,
    CANDIDATE_SCHEMA,
    CAPTION_CANDIDATES_SCHEMA,
    CAPTION_SCHEMA,
    FACES_SCHEMA,
    IDENTITY_SCHEMA,
    LEAK_SCHEMA,
    PICTURE_SCHEMA,
    PROBE_SCHEMA,
    QUALITY_SCHEMA,
    SAFETY_SCHEMA,
    SEARCHED_SCHEMA,
    SIMILARITY_SCHEMA,
    TOXICITY_SCHEMA,
    WATERMARK_SCHEMA,
    WEIGHT_SCHEMA,
    WORDING_SCHEMA,
)
from unclip_pairs.catalog import connect, parquet
from unclip_pairs.errors import UserError
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.store import Store


@dataclass(frozen=True)
class Columns:
    """What one scorer measures: its schema and the first stage that judges by it.

    A scorer that `judges_rows` has a row for each stored pair that is still kept; a kept pair without one must not pass.
    """

    table: str
    schema: pa.Schema
    stage: str = "rule"
    judges_rows: bool = False


# by the name that a policy's `scorers` gives: what is written batch by batch, and what is written once per store
PER_BATCH = {
    "picture": Columns("pictures", PICTURE_SCHEMA, judges_rows=True),
    "caption": Columns("captions", CAPTION_SCHEMA, judges_rows=True),
    "quality": Columns("quality", QUALITY_SCHEMA, judges_rows=True),
    "wording": Columns("wording", WORDING_SCHEMA, judges_rows=True),
    "caption_candidates": Columns("caption_candidates", CAPTION_CANDIDATES_SCHEMA),
    "toxicity": Columns("toxicity", TOXICITY_SCHEMA, judges_rows=True),
    "safety": Columns("safety", SAFETY_SCHEMA, "safety", judges_rows=True),
    "faces": Columns("faces", FACES_SCHEMA, "safety", judges_rows=True),
    "identities": Columns("identities", IDENTITY_SCHEMA, "safety", judges_rows=True),
    "watermark": Columns("watermarks", WATERMARK_SCHEMA, "safety", judges_rows=True),
    "blocklist": Columns("blocklist", BLOCK_SCHEMA, "safety"),
    "aesthetic": Columns("aesthetic", AESTHETIC_SCHEMA, "final", judges_rows=True),
}
PER_STORE = {
    "agreement": Columns("agreement", AGREEMENT_SCHEMA, "safety"),
    "duplicates": Columns("candidates", CANDIDATE_SCHEMA, "duplicate"),
    "searched": Columns("searched", SEARCHED_SCHEMA, "duplicate"),
    "leaks": Columns("leaks", LEAK_SCHEMA, "final"),
    "reweighting": Columns("reweighting", WEIGHT_SCHEMA, "final"),
    "probe": Columns("probe_scores", PROBE_SCHEMA, "final"),
}
EMBEDDINGS = Columns("embeddings", SIMILARITY_SCHEMA)
FACE_RULES = pa.list_(pa.struct([("picture", pa.string()), ("host", pa.string()), ("do", pa.string())]))
NAMED_PROBES = pa.schema([("category", pa.string()), ("probe", pa.string()), ("threshold", pa.float32())])
# the scorers whose columns stand beside the crawl's in `scored`
WIDE = ("picture", "caption", "safety", "faces")


def open_tables(store: Store, embeddings: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the tables that default.sql names, but `policy`; a scorer that has not run is an empty table.

    `embeddings` is the folder under `embeddings/` whose similarities are read. `UserError` when no crawl batch is finished.
    """
    names = batches(store)
    if not names:
        raise UserError(f"there is no finished crawl batch in {store}; run the crawl first")
    connection = connect()
    _add_pairs(connection, store, names)
    for scorer, columns in PER_BATCH.items():
        _add(connection, columns, _paths(store, feature_files(store, names, scorer)))
    for scorer, columns in PER_STORE.items():
        _add(connection, columns, _paths(store, [f"features/{scorer}.parquet"] if store.exists(f"features/{scorer}.json") else []))
    _add(connection, EMBEDDINGS, _paths(store, embedding_files(store, embeddings)))
    open_batch(connection, store)
    return connection


def open_scores() -> duckdb.DuckDBPyConnection:
    """A connection with the tables of `open_tables`, but of no store: all are empty except `scored`, whose rows are those of the table
    `asked` (`SAFETY_SCHEMA`), as stored pictures of which nothing but the safety scores is known."""
    connection = connect(threads=1)
    connection.register("crawled_columns", CRAWL_SCHEMA.empty_table())
    connection.register("asked_columns", SAFETY_SCHEMA.empty_table())
    crawled = f"SELECT {', '.join(CRAWL_SCHEMA.names)} FROM"
    connection.execute(
        f"CREATE TABLE asked AS FROM asked_columns; CREATE VIEW pairs AS {crawled} crawled_columns; CREATE TABLE contested AS FROM pairs"
    )
    for columns in (*PER_BATCH.values(), *PER_STORE.values(), EMBEDDINGS):
        _add(connection, columns, [])
    stored = f"{crawled} (FROM crawled_columns UNION ALL BY NAME SELECT key, 'ok' AS status FROM asked)"
    _set_scored(connection, stored, {scorer: _measured(PER_BATCH[scorer], []) for scorer in WIDE} | {"safety": "FROM asked"})
    return connection


def _paths(store: Store, files: Iterable[str]) -> list[Path]:
    return [store.path(file) for file in files]


def _add_pairs(connection: duckdb.DuckDBPyConnection, store: Store, names: Sequence[str]) -> None:
    """The view `pairs`: every pair once. Of one that was met several times the stored row counts before the not stored, then the latest;
    the few others are the table `elsewhere`."""
    connection.register("crawled_columns", CRAWL_SCHEMA.empty_table())
    files = [f"crawl/{batch}/rows.parquet" for batch in names]
    rows = parquet([store.path(file) for file in files], "filename = true, file_row_number = true")
    connection.execute(
        f"CREATE TABLE twice AS SELECT hash(key) AS key_hash FROM {rows} GROUP BY key_hash HAVING count(*) > 1;"
        f"CREATE TABLE elsewhere AS SELECT filename, file_row_number FROM {rows}"
        " WHERE hash(key) IN (FROM twice) QUALIFY row_number() OVER"
        " (PARTITION BY key ORDER BY status <> 'ok', fetched_at DESC, shard, filename, file_row_number) > 1;"
        f"CREATE VIEW pairs AS {_crawled(store, files)}; CREATE TABLE contested AS SELECT * FROM pairs LIMIT 0"
    )


def _crawled(store: Store, files: Sequence[str]) -> str:
    columns = ", ".join(CRAWL_SCHEMA.names)
    if not files:
        return f"SELECT {columns} FROM crawled_columns"
    rows = parquet([store.path(file) for file in files], "filename = true, file_row_number = true")
    known = f"SELECT * FROM crawled_columns UNION ALL BY NAME SELECT * FROM {rows}"
    return f"SELECT {columns} FROM ({known}) ANTI JOIN elsewhere USING (filename, file_row_number)"


def _add(connection: duckdb.DuckDBPyConnection, columns: Columns, files: Sequence[Path]) -> None:
    connection.register(f"{columns.table}_columns", columns.schema.empty_table())
    connection.execute(f"CREATE VIEW {columns.table} AS {_measured(columns, files)}")


def _measured(columns: Columns, files: Sequence[Path]) -> str:
    """The columns of the schema out of the files; what an older version of a scorer did not measure is null."""
    read = f" UNION ALL BY NAME SELECT * FROM {parquet(files)}" if files else ""
    return f"SELECT {', '.join(columns.schema.names)} FROM (SELECT * FROM {columns.table}_columns{read})"


def open_batch(connection: duckdb.DuckDBPyConnection, store: Store, batch: str | None = None) -> None:
    """Makes the view `scored` the rows of one batch, each with what was measured on it; no rows when `batch` is None."""
    names = [batch] if batch else []
    measured = {scorer: _measured(PER_BATCH[scorer], _paths(store, feature_files(store, names, scorer))) for scorer in WIDE}
    _set_scored(connection, _crawled(store, [f"crawl/{name}/rows.parquet" for name in names]), measured)


def _set_scored(connection: duckdb.DuckDBPyConnection, crawled: str, measured: Mapping[str, str]) -> None:
    """Makes the view `scored` of the SQL that gives crawled rows and the SQL that gives what each wide scorer measured."""
    joined, selected = [f"({crawled}) AS crawled"], ["crawled.*"]
    for scorer, rows in measured.items():
        table = PER_BATCH[scorer].table
        joined.append(f"({rows}) AS {table} USING (key)")
        selected.append(f"{table}.* EXCLUDE (key), {table}.key IS NOT NULL AS {scorer}_scored")
    connection.execute(f"CREATE OR REPLACE VIEW scored AS SELECT {', '.join(selected)} FROM {' LEFT JOIN '.join(joined)}")


def feature_files(store: Store, names: Iterable[str], scorer: str) -> list[str]:
    """The Parquet files of a scorer in those of the batches where it is finished."""
    return [f"features/{batch}/{scorer}.parquet" for batch in names if store.exists(f"features/{batch}/{scorer}.json")]


def embedding_files(store: Store, embeddings: str | None) -> list[str]:
    """The Parquet files of finished batches under `embeddings/<embeddings>/`."""
    finished = [name for name in store.names(f"embeddings/{embeddings}/") if name.endswith(".json")] if embeddings else []
    return [f"{name.removesuffix('.json')}.parquet" for name in finished if name.count("/") == 2]


def add_policy(connection: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Makes the tables `policy` and `probes` and the policy's views; `UserError` when its SQL does not run."""
    thresholds = {name: value for name, value in policy.settings.items() if name not in ("probes", "face_rules")}
    rules = pa.array([policy.settings["face_rules"]], FACE_RULES)
    named = [{"category": name, **probe} for name, probe in policy.probes.items()]
    connection.register("policy_row", _typed(pa.Table.from_pylist([thresholds])).append_column("face_rules", rules))
    connection.register("probe_rows", pa.Table.from_pylist(named, schema=NAMED_PROBES))
    connection.execute("CREATE TABLE policy AS SELECT * FROM policy_row; CREATE TABLE probes AS SELECT * FROM probe_rows")
    try:
        connection.execute(policy.sql)
    except duckdb.Error as error:
        raise UserError(f"the policy's SQL does not run ({' '.join(str(error).split())}); put it right") from error


def _typed(settings: pa.Table) -> pa.Table:
    """The settings with empty lists as lists of text; DuckDB 1 stores them as lists of integers, which compare with no text."""
    texts = pa.list_(pa.string())
    fields = [field.with_type(texts) if field.type == pa.list_(pa.null()) else field for field in settings.schema]
    return settings.cast(pa.schema(fields))

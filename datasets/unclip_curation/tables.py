"""This file is the tables that a policy's SQL may ask: the crawl's rows and every scorer's columns, over Parquet."""

import duckdb
import pyarrow as pa

from unclip_curation.columns import (
    AGREEMENT_SCHEMA,
    BLOCK_SCHEMA,
    CANDIDATE_SCHEMA,
    CAPTION_SCHEMA,
    PICTURE_SCHEMA,
    SAFETY_SCHEMA,
    SIMILARITY_SCHEMA,
)
from unclip_curation.policy import Policy
from unclip_curation.scoring import batches
from unclip_pairs.catalog import connect, view
from unclip_pairs.errors import UserError
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.store import Store

_PER_BATCH = {
    "pictures": ("picture", PICTURE_SCHEMA),
    "captions": ("caption", CAPTION_SCHEMA),
    "safety": ("safety", SAFETY_SCHEMA),
    "blocklist": ("blocklist", BLOCK_SCHEMA),
}
_PER_STORE = {"agreement": ("agreement", AGREEMENT_SCHEMA), "candidates": ("duplicates", CANDIDATE_SCHEMA)}


def open_tables(store: Store, embeddings: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the tables that default.sql names, but `policy`; a scorer that has not run is an empty table.

    `embeddings` is the folder under `embeddings/` whose similarities are read. `UserError` when no crawl batch is finished.
    """
    names = batches(store)
    if not names:
        raise UserError(f"there is no finished crawl batch in {store.root}; run the crawl first")
    connection = connect()
    _table(connection, store, "crawled", [f"crawl/{batch}/rows.parquet" for batch in names], CRAWL_SCHEMA)
    # a pair that two batches met counts once: stored before not stored, then the latest
    connection.execute(
        "CREATE VIEW pairs AS SELECT * FROM crawled"
        " QUALIFY row_number() OVER (PARTITION BY key ORDER BY status <> 'ok', fetched_at DESC, shard) = 1"
    )
    for table, (scorer, schema) in _PER_BATCH.items():
        finished = [f"features/{batch}/{scorer}" for batch in names if store.exists(f"features/{batch}/{scorer}.json")]
        _table(connection, store, table, [f"{name}.parquet" for name in finished], schema)
    for table, (file, schema) in _PER_STORE.items():
        _table(connection, store, table, [f"features/{file}.parquet"] if store.exists(f"features/{file}.json") else [], schema)
    _table(connection, store, "embeddings", embedding_files(store, embeddings), SIMILARITY_SCHEMA)
    return connection


def embedding_files(store: Store, embeddings: str | None) -> list[str]:
    """The Parquet files of finished batches under `embeddings/<embeddings>/`."""
    finished = [name for name in store.names(f"embeddings/{embeddings}/") if name.endswith(".json")] if embeddings else []
    return [f"{name.removesuffix('.json')}.parquet" for name in finished if name.count("/") == 2]


def _table(connection: duckdb.DuckDBPyConnection, store: Store, name: str, files: list[str], schema: pa.Schema) -> None:
    if files:
        view(connection, name, [store.path(file) for file in files])
    else:
        connection.register(name, schema.empty_table())


def add_policy(connection: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Makes the table `policy` and the policy's views; `UserError` when its SQL does not run."""
    connection.register("policy_row", pa.Table.from_pylist([policy.settings]))
    connection.execute("CREATE TABLE policy AS SELECT * FROM policy_row")
    try:
        connection.execute(policy.sql)
    except duckdb.Error as error:
        raise UserError(f"the policy's SQL does not run ({' '.join(str(error).split())}); put it right") from error

"""What a policy objects to: its SQL runs batch by batch over the wide rows, and once over what spans batches."""

import duckdb
import pyarrow as pa

from unclip_curation.duplicates.union_find import redundant
from unclip_curation.features import batches
from unclip_curation.policy import Policy
from unclip_curation.scorers.identities import gallery_digest
from unclip_curation.tables import PER_BATCH, WIDE, open_batch
from unclip_pairs.errors import UserError
from unclip_pairs.schema import REASONS
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns

STAGES = ("rule", "safety", "duplicate", "final")
DUPLICATE_REASONS = ("duplicate_exact", "duplicate_perceptual", "duplicate_semantic")
_KEPT = "len(reasons) = 0 AND key NOT IN (SELECT key FROM findings)"


def find(connection: duckdb.DuckDBPyConnection, store: Store, policy: Policy, stage: str) -> None:
    """Fills the tables `judged` (every pair with the reasons found on its own row) and `findings` (key, reason: what was found otherwise).

    Both hold all that the stages up to `stage` object to. `UserError` when a kept pair was not measured, or a reason is not in the list.
    """
    steps = STAGES[: STAGES.index(stage) + 1]
    relied = {*policy.scorers, *(["identities"] if gallery_digest(store) else [])}
    judge(connection, store, steps)
    connection.execute("CREATE TABLE findings (key VARCHAR, reason VARCHAR)")
    _add_taken_down(connection, store)
    for step in steps:
        if step == "duplicate":
            _add_duplicates(connection)
        else:
            # also against rows that go already: a listed picture is explicit whatever its caption
            connection.execute(f"INSERT INTO findings SELECT DISTINCT key, reason FROM {step}_findings")
        _check_measured(connection, relied, step)
    if "final" in steps:
        _check_probes(connection)
    _check_reasons(connection)


def _add_taken_down(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """What somebody asked to be taken down goes under every policy, whatever its SQL says."""
    taken = pa.table({"key": pa.array(sorted(read_takedowns(store).keys), pa.string())})
    connection.register("taken", taken)
    connection.execute("INSERT INTO findings SELECT key, 'taken_down' FROM pairs SEMI JOIN taken USING (key) WHERE status <> 'taken_down'")


def judge(connection: duckdb.DuckDBPyConnection, store: Store, steps: tuple[str, ...] = ("rule", "safety")) -> None:
    """Fills `judged`: key, reasons (a list without doubles), the areas to blur and, for every wide scorer, whether it measured the row."""
    lists = [step for step in steps if step in ("rule", "safety")]
    reasons = "list_distinct(rule)" if lists == ["rule"] else f"list_distinct(list_concat({', '.join(lists)}))"
    measured = ", ".join(f"{scorer}_scored" for scorer in WIDE)
    flags = ", ".join(f"{scorer}_scored BOOLEAN" for scorer in WIDE)
    blur = "blur" if "safety" in lists else "NULL"
    connection.execute(
        f"CREATE TABLE judged (key VARCHAR, reasons VARCHAR[], blur STRUCT(x FLOAT, y FLOAT, width FLOAT, height FLOAT)[], {flags})"
    )
    for batch in batches(store):
        open_batch(connection, store, batch)
        connection.execute(f"INSERT INTO judged SELECT key, {reasons}, {blur}, {measured} FROM row_reasons")
    open_batch(connection, store)


def _check_measured(connection: duckdb.DuckDBPyConnection, relied: set[str], step: str) -> None:
    """A row that a scorer of this stage did not measure must never pass."""
    for scorer, columns in PER_BATCH.items():
        if columns.stage != step or not columns.judges_rows or scorer not in relied:
            continue
        without = f"NOT {scorer}_scored" if scorer in WIDE else f"key NOT IN (SELECT key FROM {columns.table})"
        row = connection.execute(f"SELECT count(*) FROM judged WHERE {without} AND {_KEPT}").fetchone()
        if row is not None and row[0]:
            raise UserError(f"{row[0]} kept rows have no {scorer} scores yet; run the {scorer} scorer again before this stage")


def _check_probes(connection: duckdb.DuckDBPyConnection) -> None:
    """A row that a named probe did not judge must never pass."""
    for category, probe in connection.execute("SELECT category, probe FROM probes").fetchall():
        judged = "SELECT key FROM probe_scores WHERE category = ? AND probe = ?"
        row = connection.execute(f"SELECT count(*) FROM judged WHERE key NOT IN ({judged}) AND {_KEPT}", [category, probe]).fetchone()
        if row is not None and row[0]:
            raise UserError(
                f"{row[0]} kept rows have no score by the probe {probe!r} of {category!r}; run `unclip label score`,"
                " or name a probe that was trained on the present embeddings"
            )


def _check_reasons(connection: duckdb.DuckDBPyConnection) -> None:
    given = "SELECT DISTINCT unnest(reasons) FROM judged WHERE len(reasons) > 0 UNION SELECT reason FROM findings"
    for (reason,) in connection.execute(given).fetchall():
        if reason not in REASONS:
            raise UserError(f"the policy's SQL gives the reason {reason!r}, which is not in the closed list {', '.join(REASONS)}")


def _add_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    """Only what stands in an edge is ranked and fetched: few rows of many millions have a duplicate."""
    connection.execute(
        "CREATE TABLE edges AS SELECT DISTINCT a, b, reason FROM duplicate_edges;"
        f"CREATE TABLE alive AS SELECT key FROM judged WHERE key IN (SELECT a FROM edges UNION SELECT b FROM edges) AND {_KEPT};"
        "INSERT INTO contested SELECT * FROM pairs WHERE key IN (SELECT key FROM alive)"
    )
    edges = connection.execute("SELECT a, b, reason FROM edges WHERE a IN (FROM alive) AND b IN (FROM alive)").fetchall()
    unknown = {reason for (reason,) in connection.execute("SELECT DISTINCT reason FROM edges").fetchall()} - set(DUPLICATE_REASONS)
    if unknown:
        raise UserError(f"duplicate_edges gives the reason {min(unknown)!r}; choose one of {', '.join(DUPLICATE_REASONS)}")
    places = dict(connection.execute("SELECT key, place FROM standing").fetchall())
    rounds = dict(connection.execute("SELECT key, round FROM searched SEMI JOIN alive USING (key) WHERE round > 0").fetchall())
    found = redundant(edges, places, DUPLICATE_REASONS, rounds)
    columns = {"key": list(found), "reason": [reason for reason, _ in found.values()], "stays": [stays for _, stays in found.values()]}
    connection.register("redundant", pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
    connection.execute("INSERT INTO findings SELECT key, reason FROM redundant")

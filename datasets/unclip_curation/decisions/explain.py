"""Answer to "why": one row's verdict with what was measured and the rows it was found alike to."""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from unclip_curation.decisions.verdicts import latest_stage, read_verdicts
from unclip_curation.tables import PER_BATCH, PER_STORE, open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

_HIDDEN = {"key", "pdq", "pdq_mirrored", "grid", "url", "caption", "page_url", "licence", "status", "detail", "shard", "host"}


def explain(store: Store, key: str, stage: str | None = None) -> str:
    """What became of one row and why, as lines of text. `UserError` when the key is not in the verdicts."""
    stage = stage or latest_stage(store)
    verdicts = read_verdicts(store, stage)
    mine = verdicts.filter(pa.array([value == key for value in verdicts["key"].to_pylist()], pa.bool_())).to_pylist()
    if not mine:
        raise UserError(f"the key {key!r} is in no verdict of stage {stage!r}; keys are the 20 hex digits in the column 'key'")
    with open_tables(store) as connection:
        row = _row(connection, "pairs", key)
        lines = [f"{key} {'stays' if mine[0]['keep'] else 'goes'} (stage {stage}, policy {mine[0]['policy_version']})"]
        lines += [f"  reason: {reason}" for reason in mine[0]["reasons"]] or ["  nothing was found against it"]
        lines += [f"  {name}: {row[name]}" for name in ("url", "page_url", "caption", "licence", "status", "detail") if row.get(name)]
        for table in ("pairs", *(columns.table for columns in (PER_BATCH | PER_STORE).values() if "key" in columns.schema.names)):
            lines += _measured(table, _row(connection, table, key))
        alike = connection.execute("SELECT * FROM candidates WHERE a = ? OR b = ? ORDER BY pdq_distance LIMIT 10", [key, key])
        kept = dict(zip(verdicts["key"].to_pylist(), verdicts["keep"].to_pylist(), strict=True))
        return "\n".join(lines + [_alike(pair, key, kept) for pair in _dicts(alike)])


def _dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, values, strict=True)) for values in result.fetchall()]


def _row(connection: duckdb.DuckDBPyConnection, table: str, key: str) -> dict[str, object]:
    found = _dicts(connection.execute(f"SELECT * FROM {table} WHERE key = ? LIMIT 1", [key]))
    return found[0] if found else {}


def _measured(table: str, row: dict[str, object]) -> list[str]:
    shown = {name: value for name, value in row.items() if name not in _HIDDEN and value is not None}
    text = ", ".join(f"{name} {_short(value)}" for name, value in shown.items())
    return [f"  {table}: {text}"] if shown else []


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"[{', '.join(_short(item) for item in value)}]" if isinstance(value, list) else str(value)


def _alike(pair: Mapping[str, object], key: str, kept: dict[str, bool]) -> str:
    other = str(pair["b"] if pair["a"] == key else pair["a"])
    facts = [name for name in ("same_bytes", "same_pixels", "mirrored") if pair[name]]
    facts += [f"{name} {_short(pair[name])}" for name in ("pdq_distance", "grid_mean", "grid_peak", "cosine") if pair[name] is not None]
    return f"  like {other} ({'stays' if kept.get(other) else 'goes'}): {', '.join(facts)}"

"""This file is the catalog: DuckDB over Parquet files, without a server."""

from collections.abc import Sequence
from pathlib import Path

import duckdb


def connect(threads: int = 2, memory: str = "1GB") -> duckdb.DuckDBPyConnection:
    """An in-memory connection that loads no extension and stays within its threads and memory."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": memory,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET enable_progress_bar = false")
    return connection


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def view(connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path]) -> None:
    """Makes `name` a view over the Parquet files, whose columns are matched by name; missing ones are null."""
    assert paths, f"the view {name} needs at least one file"
    files = ", ".join(_quoted(str(path), "'") for path in paths)
    connection.execute(f"CREATE OR REPLACE VIEW {_quoted(name, chr(34))} AS SELECT * FROM read_parquet([{files}], union_by_name = true)")

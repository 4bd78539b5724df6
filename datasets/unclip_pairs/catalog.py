"""Catalog: DuckDB over Parquet files, without a server."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb


def connect(threads: int = 2, memory: str = "2GB") -> duckdb.DuckDBPyConnection:
    """An in-memory connection that loads no extension and stays within its threads and memory; what does not fit spills to a temporary
    folder of its own."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": memory,
        "temp_directory": str(Path(tempfile.gettempdir()) / f"unclip-spill-{os.getpid()}"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET enable_progress_bar = false")
    return connection


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def parquet(paths: Sequence[Path], options: str = "") -> str:
    """The SQL that reads the files as one table, columns matched by name, missing ones null; `options` go to `read_parquet` as well."""
    files = ", ".join(_quoted(str(path), "'") for path in paths)
    return f"read_parquet([{files}], union_by_name = true{options and ', ' + options})"

"""Model version: one registered bundle, as the registry gives it and as it is read from the registry's database."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from unclip_release.gates import PASSED

MODEL = "unclip"
SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One registered bundle. `label` is what a picture carries in its provenance."""

    version: str
    digest: str
    bundle: str
    source: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    name: str = MODEL

    @property
    def label(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def evaluation(self) -> dict[str, float]:
        """The figures it was judged by."""
        return {name.removeprefix("metric."): float(value) for name, value in self.tags.items() if name.startswith("metric.")}

    @property
    def objections(self) -> list[str]:
        """The gates that it did not pass, in sentences."""
        return [
            f"{name.removeprefix('gate.')}: {value}"
            for name, value in sorted(self.tags.items())
            if name.startswith("gate.") and value != PASSED
        ]


def read_versions(tracking_uri: str) -> list[ModelVersion] | None:
    """All versions, the newest first, read from an MLflow database of this machine without MLflow, whose import takes seconds.

    None when the address is no SQLite file, there is none yet, or its tables are not those that are known here: then ask MLflow.
    """
    path = Path(tracking_uri.removeprefix(SQLITE))
    if not tracking_uri.startswith(SQLITE) or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            return _versions(database)
    except sqlite3.Error:
        return None


def _versions(database: sqlite3.Connection) -> list[ModelVersion]:
    aliases, tags = dict[str, list[str]](), dict[str, dict[str, str]]()
    for number, alias in database.execute("SELECT version, alias FROM registered_model_aliases WHERE name = ?", (MODEL,)):
        aliases.setdefault(str(number), []).append(str(alias))
    for number, name, value in database.execute("SELECT version, key, value FROM model_version_tags WHERE name = ?", (MODEL,)):
        tags.setdefault(str(number), {})[str(name)] = str(value)
    rows = database.execute(
        "SELECT version, source FROM model_versions WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version DESC", (MODEL,)
    )
    return [model_version(str(number), str(source), tags.get(str(number), {}), aliases.get(str(number), [])) for number, source in rows]


def model_version(number: str, source: str, tags: dict[str, str], aliases: Iterable[str]) -> ModelVersion:
    """The version with these tags; what it is made of stands in them."""
    return ModelVersion(
        version=number,
        digest=tags.get("manifest_digest", ""),
        bundle=tags.get("bundle", ""),
        source=source,
        aliases=tuple(sorted(aliases)),
        tags=tags,
    )

"""Manifest: the record that is written last and means "done"."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store


def now() -> str:
    """The present time in UTC, in ISO form, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was made, from what, how, and where it lies. `files` names are relative to the store's root."""

    kind: str
    inputs: dict[str, str]
    settings: dict[str, Any]
    files: dict[str, str]
    counts: dict[str, int | float]
    created: str

    @property
    def digest(self) -> str:
        """64 hex digits: sha256 over everything but `created`, so the same result made twice has the same digest."""
        return settings_digest({name: value for name, value in asdict(self).items() if name != "created"})


def settings_digest(value: object) -> str:
    """64 hex digits of anything JSON can hold; the order of keys does not matter, tuples count as lists."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """64 hex digits: sha256 of the file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_manifest(
    store: Store,
    kind: str,
    files: list[str],
    *,
    inputs: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    counts: Mapping[str, int | float] | None = None,
    created: str | None = None,
) -> Manifest:
    """A manifest of finished files of the store, with their digests taken now; it is not written yet. `created` None means now; a stated
    time makes the same work the same bytes."""
    digests = {name: file_digest(store.path(name)) for name in files}
    return Manifest(
        kind=kind,
        inputs=dict(inputs or {}),
        settings=dict(settings or {}),
        files=digests,
        counts=dict(counts or {}),
        created=created or now(),
    )


def write_manifest(store: Store, name: str, manifest: Manifest) -> Manifest:
    """Writes it under `name` (a `.json`), adding its digest for other tools to read; gives it back."""
    store.write_json(name, asdict(manifest) | {"digest": manifest.digest})
    return manifest


def read_manifest(store: Store, name: str) -> Manifest | None:
    """The manifest, or None when there is none yet, which means: not done. `UserError` when the file is damaged."""
    if not store.exists(name):
        return None
    fields = store.read_json(name)
    try:
        stated = fields.pop("digest", None)
        manifest = Manifest(**fields)
    except (TypeError, AttributeError) as error:
        raise UserError(f"{store.path(name)} is not a manifest ({error}); move it aside and run the step that makes it again") from error
    if stated is not None and stated != manifest.digest:
        raise UserError(f"{store.path(name)} was changed after it was written; move it aside and run the step that makes it again")
    return manifest


def is_done(store: Store, name: str, inputs: Mapping[str, str], settings: Mapping[str, object]) -> bool:
    """Whether `name` is the manifest of this very work (same inputs, same settings) and all its files are still there."""
    manifest = read_manifest(store, name)
    if manifest is None:
        return False
    same = settings_digest([manifest.inputs, manifest.settings]) == settings_digest([dict(inputs), dict(settings)])
    return same and all(store.exists(file) for file in manifest.files)

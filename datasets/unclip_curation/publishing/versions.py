"""Dataset versions: which ones a store holds, and their copies in other stores.

A version is immutable and exists when its manifest does, so a copy is made file by file with the manifest last; then
`datasets/latest.json`, one small file, names it as the current one. A copy that is killed leaves the version before as it was, and goes on
when it is run again.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, file_digest, read_manifest
from unclip_pairs.object_store import ObjectStore
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store

LATEST = "datasets/latest.json"


@dataclass(frozen=True)
class Version:
    """A finished version: its name and its manifest."""

    name: str
    manifest: Manifest

    @property
    def pairs(self) -> int:
        """Pairs in all splits."""
        return int(sum(self.manifest.counts.values()))


def manifest_name(version: str) -> str:
    """The store's name of a version's manifest."""
    return f"datasets/{version}/manifest.json"


def versions(store: Store) -> list[Version]:
    """The finished versions of a store, oldest first."""
    names = [name for name in store.names("datasets/") if name.count("/") == 2 and name.endswith("/manifest.json")]
    found = [Version(name.split("/")[1], manifest) for name in names if (manifest := read_manifest(store, name)) is not None]
    return sorted(found, key=lambda version: (version.manifest.created, version.name))


def latest(store: Store) -> str | None:
    """The version that was copied into this store last, or None when none was."""
    return str(store.read_json(LATEST)["version"]) if store.exists(LATEST) else None


def named(store: Store, version: str) -> Version:
    """The version of that name, or of the newest one when `version` is empty; `UserError` names those that are there."""
    known = versions(store)
    found = next((one for one in reversed(known) if one.name == version or not version), None)
    if found is None:
        there = ", ".join(one.name for one in known) or "none"
        raise UserError(f"dataset {version or 'versions'!r} are not published in {store}; known versions: {there}")
    return found


def copy_version(store: Store, version: str, target: Store, progress: Progress = silent) -> Manifest:
    """Copies a version (empty: the newest) into another store: what is there already stays, the manifest comes last, then
    `datasets/latest.json` names it. Gives the manifest.

    `UserError` when a file is not what the manifest says, or the target holds another version of the same name.
    """
    found = named(store, version)
    there = read_manifest(target, manifest_name(found.name))
    if there is not None and there.digest != found.manifest.digest:
        raise UserError(f"{target} holds another version named {found.name}; versions never change, so copy to another place")
    if isinstance(target, ObjectStore):
        target.bucket.abort_uploads(f"datasets/{found.name}/")
    for number, (name, digest) in enumerate(sorted(found.manifest.files.items())):
        progress(number, len(found.manifest.files), name)
        if target.digest(name) != digest:
            _copy_file(store, name, digest, target)
    if there is None:
        target.write_bytes(manifest_name(found.name), store.read_bytes(manifest_name(found.name)))
    if latest(target) != found.name:
        target.write_json(LATEST, {"version": found.name, "manifest": found.manifest.digest})
    return found.manifest


def _copy_file(store: Store, name: str, digest: str, target: Store) -> None:
    source = store.path(name)
    if not source.is_file() or file_digest(source) != digest:
        raise UserError(f"{store}/{name} is missing or was changed after it was published; put it back, or publish again")
    with target.writing(name) as part:
        if not (isinstance(target, ObjectStore) and _linked(source, part)):
            shutil.copyfile(source, part)


def _linked(source: Path, part: Path) -> bool:
    """Whether a cache could take the file without a second copy on the disk."""
    with contextlib.suppress(OSError):
        os.link(source, part)
        return True
    return False

"""Store: one folder, or one bucket, in which every file is whole or absent."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from unclip_pairs.errors import UserError

PART_PREFIX = ".part-"
LINK = ".bucket.json"  # names the bucket whose objects a folder caches
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "permission is denied; choose a folder you may write to",
    errno.EPERM: "permission is denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose a folder you may write to",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "a folder of that name is in the way; move it aside",
    errno.EEXIST: "a file of that name is in the way; move it aside",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """A block that writes to `path`: errors that a user can put right become a `UserError`, others pass unchanged."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise UserError(f"cannot write {path}: {remedy}, or set UNCLIP_HOME to another folder, and run the same command again") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Waits until the file's bytes are on the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Store:
    """A root folder (for a bucket see `unclip_pairs.object_store`). Names are relative, with forward slashes: `crawl/a/shard-00000.tar`.

    Files appear under their name only when whole: a write goes to a temporary name beside it, is flushed to the disk and then renamed.
    After a hard kill, `.part-*` files may be left behind; no reader looks at them and they may be deleted.
    """

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> Path:
        """The path of `name` under the root, for reading; `UserError` when the name would lead out of it."""
        return self.local_path(name)

    def local_path(self, name: str) -> Path:
        """The path of something that never leaves this machine: a lock, a database, a log, a checkpoint of a running training.

        `UserError` when the name would lead out of the store.
        """
        pure = PurePosixPath(name)
        if not name or "\0" in name or "\\" in name or pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise UserError(f"the name {name!r} leads out of the store {self}; use a relative name without '..'")
        return self.root.joinpath(*pure.parts)

    def folder(self, name: str) -> Path:
        """The path of a folder whose files another tool reads; `UserError` as in `path`."""
        return self.path(name)

    def exists(self, name: str) -> bool:
        """Whether a finished file (or a folder) of that name is there."""
        return self.path(name).exists()

    def digest(self, name: str) -> str | None:
        """64 hex digits: sha256 of the file's bytes, None when there is no such file."""
        path = self.path(name)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def remove(self, name: str) -> None:
        """Removes the file; nothing happens when there is none."""
        self.path(name).unlink(missing_ok=True)

    def read_bytes(self, name: str) -> bytes:
        """The bytes of the file; `FileNotFoundError` when it is not there."""
        return self.path(name).read_bytes()

    def read_json(self, name: str) -> Any:  # what json.loads gives
        """The decoded JSON of the file; `UserError` when it is not JSON."""
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise UserError(f"{self}/{name} is not valid JSON ({error}); move it aside and run the step that makes it again") from error

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A temporary path with the extension of `name`; it takes the name when the block ends well and is removed when it does not.

        `UserError` when the disk is full, read-only or forbidden.
        """
        target = self.local_path(name)
        part = target.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}-{target.name}")
        with explained(target):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                yield part
                sync_file(part)
                self._settle(name, part)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink()

    def _settle(self, name: str, part: Path) -> None:
        """The part, whole and on the disk, takes its name."""
        target = self.local_path(name)
        part.replace(target)
        _sync_folder(target.parent)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes the file whole or not at all; errors as in `writing`."""
        with self.writing(name) as part:
            part.write_bytes(data)

    def write_json(self, name: str, value: object) -> None:
        """Writes `value` as indented JSON with sorted keys; `ValueError` on NaN, which JSON does not know."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.write_bytes(name, (text + "\n").encode())

    def names(self, prefix: str = "") -> list[str]:
        """The sorted names of all finished files that begin with `prefix`; temporary files are left out."""
        folder, found = prefix.rpartition("/")[0], list[str]()
        for parent, _, files in os.walk(self.path(folder) if folder else self.root):
            relative = Path(parent).relative_to(self.root)
            found += [(relative / file).as_posix() for file in files if not file.startswith(PART_PREFIX)]
        return sorted(name for name in found if name.startswith(prefix))

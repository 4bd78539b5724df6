"""Store over S3: a bucket holds what is finished, a folder on this machine caches it.

The folder knows its bucket (`.bucket.json`), so whoever opens the folder opens the bucket. What must never leave this machine (locks,
databases, logs, checkpoints of a running training) lies in the folder alone; see `Store.local_path`.
"""

import contextlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlencode, urlsplit

from unclip_pairs.bucket import Bucket, Object
from unclip_pairs.errors import UserError
from unclip_pairs.store import LINK, PART_PREFIX, Store, explained, sync_file

RECORDS = ".objects"
DEFAULT_CACHE = "~/.cache/unclip"
FORM = "write it as s3://BUCKET/PREFIX, with ?endpoint=URL, ?region=NAME or ?cache=FOLDER where needed"


@dataclass(frozen=True)
class ObjectStore(Store):
    """A store whose files are objects of `bucket`; `root` is the folder that caches them.

    A file is written to a part beside its place in the cache, uploaded, and only then takes its name: other machines see it whole or not
    at all. `path` asks the bucket each time and fetches what is missing or was replaced. The bucket wins over the cache.
    """

    bucket: Bucket

    def __str__(self) -> str:
        return str(self.bucket)

    def path(self, name: str) -> Path:
        """As in `Store`, after the object was brought into the cache; a cached copy of an object that is gone goes as well."""
        local = self.local_path(name)
        there = self.bucket.head(_key(name))
        if there is not None:
            self._refresh(there)
        elif self._is_copy(name):
            self._forget(name)
        return local

    def folder(self, name: str) -> Path:
        """As in `Store`, after all objects under it were brought into the cache."""
        local = self.local_path(name)
        for there in self.bucket.listed(f"{_key(name)}/"):
            self._refresh(there)
        return local

    def exists(self, name: str) -> bool:
        """Whether the bucket holds an object of that name or any under it, or the folder a file that never came from the bucket."""
        local = self.local_path(name)
        if self.bucket.head(_key(name)) is not None or any(self.bucket.listed(f"{_key(name)}/", limit=1)):
            return True
        return local.is_file() and not self._is_copy(name)

    def digest(self, name: str) -> str | None:
        """As in `Store`; for an object that states its digest without fetching it: it was compared when the object was stored."""
        there = self.bucket.head(_key(name))
        return there.sha256 if there is not None and there.sha256 is not None else Store.digest(self, name)

    def names(self, prefix: str = "") -> list[str]:
        """The sorted names of the bucket's objects that begin with `prefix`."""
        return sorted(there.name for there in self.bucket.listed(prefix))

    def remove(self, name: str) -> None:
        """Removes the object and its cached copy; nothing happens when there is none."""
        local = self.local_path(name)
        self.bucket.delete(_key(name))
        self._forget(name)
        local.unlink(missing_ok=True)

    def _settle(self, name: str, part: Path) -> None:
        there = self.bucket.upload(part, _key(name))
        self._take(there, part)

    def _refresh(self, there: Object) -> None:
        """Brings the object into the cache unless this very version is there."""
        local = self.local_path(there.name)
        record = _record_of(local, there)
        if record is not None and record == self._recorded(there.name):
            return
        part = local.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}-{local.name}")
        with explained(local):
            try:
                local.parent.mkdir(parents=True, exist_ok=True)
                arrived = self.bucket.download(there.name, part)
                if arrived is None:  # removed since it was seen
                    self._forget(there.name)
                else:
                    sync_file(part)
                    self._take(arrived, part)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink()

    def _take(self, there: Object, part: Path) -> None:
        """The part takes its name in the cache; the record names its version by etag, size and time, so a record can only be of this
        very file."""
        record = _record_of(part, there)
        Store._settle(self, there.name, part)
        Store(self.root / RECORDS).write_json(f"{there.name}.json", record)

    def _recorded(self, name: str) -> object:
        try:
            return json.loads((self.root / RECORDS / f"{_key(name)}.json").read_bytes())
        except (OSError, ValueError):
            return None

    def _is_copy(self, name: str) -> bool:
        """Whether the file in the cache came from the bucket (or went there) and was not touched since."""
        record, local = self._recorded(name), self.local_path(name)
        return isinstance(record, dict) and local.is_file() and record | _facts(local) == record

    def _forget(self, name: str) -> None:
        if self._is_copy(name):
            self.local_path(name).unlink(missing_ok=True)
        (self.root / RECORDS / f"{_key(name)}.json").unlink(missing_ok=True)


def _key(name: str) -> str:
    return PurePosixPath(name).as_posix()


def _facts(path: Path) -> dict[str, object]:
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _record_of(path: Path, there: Object) -> dict[str, object] | None:
    """What the record says when the file at `path` is this version; None when there is no such file, or it has another size."""
    if not path.is_file() or (facts := _facts(path))["size"] != there.size:
        return None
    return facts | {"etag": there.etag}


def parse_address(address: str) -> tuple[Bucket, Path]:
    """The bucket and the cache folder that an address names: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME&cache=FOLDER`.

    `UserError` when it is not of that form, or holds credentials, which would end up in logs and process lists.
    """
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise UserError("an S3 address must not hold credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    prefix = parts.path.strip("/")
    if (
        parts.scheme != "s3"
        or not parts.netloc
        or parts.fragment
        or set(given) - {"endpoint", "region", "cache"}
        or ".." in prefix.split("/")
    ):
        raise UserError(f"{address!r} is no S3 address; {FORM}")
    bucket = Bucket(parts.netloc, prefix, given.get("endpoint"), given.get("region"))
    slug = f"{bucket.name}-{prefix.replace('/', '-')}".rstrip("-")[:80]
    kept = Path(given.get("cache") or f"{DEFAULT_CACHE}/{slug}-{_digest(bucket)}")
    return bucket, kept.expanduser().absolute()


def _digest(bucket: Bucket) -> str:
    import hashlib

    return hashlib.sha256(_address(bucket).encode()).hexdigest()[:8]


def _address(bucket: Bucket) -> str:
    """The address of the bucket, whichever folder caches it."""
    query = {name: value for name, value in (("endpoint", bucket.endpoint), ("region", bucket.region)) if value}
    return f"s3://{bucket.name}/{bucket.prefix}" + (f"?{urlencode(query, safe=':/')}" if query else "")


def link(address: str) -> Path:
    """The folder that caches the bucket of that address, made when new; nothing is asked of the network.

    `UserError` when the folder caches another bucket, or holds a local home.
    """
    bucket, folder = parse_address(address)
    with explained(folder):
        known = read_link(folder)
        if known is None:
            if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
                raise UserError(f"{folder} holds a home of its own; choose another folder with ?cache=FOLDER")
            Store(folder).write_json(LINK, {"address": _address(bucket)})
        elif known != bucket:
            raise UserError(f"{folder} caches {_address(known)}; choose another folder with ?cache=FOLDER")
    return folder


def read_link(folder: Path) -> Bucket | None:
    """The bucket that a folder caches, or None when it is a plain folder."""
    try:
        return parse_address(json.loads((folder / LINK).read_bytes())["address"])[0]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / LINK} is damaged; remove it, and open the home by its s3:// address again") from error


def open_linked(folder: Path) -> ObjectStore:
    """The store of a folder that `link` made; `UserError` when the bucket does not answer or refuses."""
    bucket = read_link(folder)
    assert bucket is not None
    bucket.check()
    return ObjectStore(folder, bucket)

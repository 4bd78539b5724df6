"""Tar shards of pictures that img2dataset and WebDataset write, read without trusting them.

A shard is a tar of pictures with a text and a JSON file each, or with a Parquet file beside it. Nothing is unpickled and nothing is
unpacked to the disk; names, sizes and numbers are checked before anything is read.
"""

import gzip
import json
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeGuard
from urllib.parse import quote

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from unclip_crawl.addresses import is_remote, why_invalid
from unclip_crawl.sources.lists import COLUMNS
from unclip_crawl.sources.streams import Access, Unreadable, opened
from unclip_pairs.errors import UserError
from unclip_pairs.limits import MAX_BYTES
from unclip_pairs.schema import Pair, make_pair

PICTURES = ("jpg", "jpeg", "png", "webp", "gif")
TEXT_BYTES = 2**20
HEADER_BYTES = 2**16  # a pax header or a long name; tarfile holds it in memory
MAX_SIDECAR_ROWS = 200_000
_NAME = re.compile(r"(?:\./)?(?:[\w@+=,~-][\w@+=,~ .-]*/)*[\w@+=,~-][\w@+=,~ -]*(?:\.[\w.-]+)?")
_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
# what img2dataset wrote when it failed, and what we call it
_FAILURES = (
    ("x-robots-tag", "opt_out"),
    ("http error", "http_error"),
    ("timed out", "timeout"),
    ("timeout", "timeout"),
    ("name or service", "dns_error"),
    ("name resolution", "dns_error"),
    ("decode", "decode_error"),
    ("too small", "too_small"),
)


class _Member(tarfile.TarInfo):
    """A tar header that may not announce more header than fits."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """As tarfile's; a header block that is too long is a damaged one."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


class Original(TypedDict, total=False):
    """What a shard says of a picture's original."""

    original_width: int
    original_height: int
    sha256: str


@dataclass
class ShardSample:
    """One sample: its pair, and either the picture's bytes or the status and detail by which it failed when it was fetched. `original` is
    what the shard says of the original: width, height, sha256."""

    pair: Pair
    data: bytes = b""
    extension: str = ""
    failure: tuple[str, str] | None = None
    original: Original = field(default_factory=Original)


def _lowered(row: Mapping[str, object]) -> dict[str, object]:
    return {str(name).lower(): value for name, value in row.items() if value is not None}


def _field(row: Mapping[str, object], name: str) -> str:
    return " ".join(str(next((row[column] for column in COLUMNS[name] if column in row), "")).split())


def _is_side(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 < value < 2**31


def _original(row: Mapping[str, object]) -> Original:
    """The original's size and digest, where the shard says them in a way that can be true."""
    width, height = row.get("original_width"), row.get("original_height")
    digest = str(row.get("sha256", "")).lower()
    whole: Original = {"original_width": width, "original_height": height} if _is_side(width) and _is_side(height) else {}
    return whole | ({"sha256": digest} if re.fullmatch(r"[0-9a-f]{64}", digest) else {})


def _pair(row: Mapping[str, object], text: str, fallback: str) -> Pair:
    """The pair by the sample's JSON or Parquet row, else by its text file and its place in the shard."""
    url = _field(row, "url")
    caption = _field(row, "caption") or " ".join(text.split())
    return make_pair(url if why_invalid(url) is None else fallback, caption, _field(row, "page_url"), _field(row, "licence") or None)


def _failure(row: Mapping[str, object]) -> tuple[str, str] | None:
    """How a row ended that has no picture, in our words."""
    if str(row.get("status", "success")) == "success":
        return None
    message = str(row.get("error_message", ""))
    status = next((status for word, status in _FAILURES if word in message.lower()), "connection_error")
    return status, f"when it was fetched: {message}"


def _sidecar(address: str) -> dict[str, dict[str, object]]:
    """The rows of the Parquet file beside a shard by their key; none when there is no such file, or it lies elsewhere."""
    path = Path(re.sub(r"\.tar(\.gz)?$", ".parquet", address))
    if is_remote(address) or not path.is_file():
        return {}
    try:
        with ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_SIDECAR_ROWS:
                raise UserError(f"{path} has {file.metadata.num_rows} rows, more than the {MAX_SIDECAR_ROWS} of a shard; split the shard")
            names = {name for columns in COLUMNS.values() for name in columns} | _sidecar_columns()
            columns = [name for name in file.schema_arrow.names if name.lower() in names]
            rows = [_lowered(row) for batch in file.iter_batches(4096, columns=columns) for row in batch.to_pylist()]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UserError(f"{path} is not a Parquet file that can be read; write it again or move it aside") from error
    return {str(row["key"]): row for row in rows if "key" in row}


def _sidecar_columns() -> set[str]:
    return {"key", "status", "error_message", "original_width", "original_height", "sha256"}


def _json(data: bytes) -> dict[str, object]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return _lowered(row) if isinstance(row, dict) else {}


@dataclass
class Shard:
    """A shard while it is read: `samples` streams, `damage` counts by name what was left out or wrong."""

    address: str
    access: Access = field(default_factory=Access)
    max_bytes: int = MAX_BYTES
    damage: Counter[str] = field(default_factory=Counter)
    count: int = 0

    def samples(self) -> Iterator[ShardSample]:
        """The samples in their order, then the rows of the Parquet file that have no picture. `UserError` when there is no such shard."""
        rows = _sidecar(self.address)
        seen = set[str]()
        for key, files in self._groups():
            row = _lowered(rows.get(key, {})) | _json(files.get("json", b""))
            seen.add(key)
            extension = next((name for name in PICTURES if name in files), "")
            pair = _pair(row, files.get("txt", b"").decode("utf-8", "replace"), self._place(key, extension))
            if extension:
                self.count += 1
                yield ShardSample(pair, files[extension], extension, None, _original(row))
            elif "too large" in files:
                yield ShardSample(pair, failure=("too_large", f"{int(files['too large'])} bytes are more than {self.max_bytes}"))
            else:
                self.damage["no_picture"] += 1
        for key, row in rows.items():
            failure = _failure(row)
            if key not in seen and failure is not None:
                yield ShardSample(_pair(row, "", self._place(key, "")), failure=failure)

    def _place(self, key: str, extension: str) -> str:
        """An address for a picture that names none: the shard's name and its own, wherever the shard lies."""
        return "file:///" + quote(f"{self.address.rpartition('/')[2]}/{key}.{extension}")

    def _groups(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Members with one key, which lie beside each other, together."""
        key, files = "", dict[str, bytes]()
        for name, extension, data in self._members():
            if name != key and files:
                yield key, files
                files = {}
            key = name
            files.setdefault(extension, data)
        if files:
            yield key, files

    def _members(self) -> Iterator[tuple[str, str, bytes]]:
        """Key, extension and bytes of every member that may be read; the others are counted."""
        try:
            with opened(self.address, self.access) as source:
                unpacked: Any = gzip.GzipFile(fileobj=source, mode="rb") if self.address.endswith((".gz", ".tgz")) else source  # type: ignore[arg-type]
                with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member) as tar:
                    yield from self._read(tar)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
            self.damage["damaged_tar"] += 1
        except Unreadable as error:
            self.damage[f"source_{error.reason}"] += 1

    def _read(self, tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
        for member in tar:
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  # tarfile keeps every header it has read
            folder, _, file = member.name.removeprefix("./").rpartition("/")
            key, _, extension = file.partition(".")
            if member.isdir() or (member.isfile() and extension.lower() not in (*PICTURES, "txt", "json")):
                continue
            limit = self.max_bytes if extension.lower() in PICTURES else TEXT_BYTES
            if not member.isfile() or member.issparse() or not _NAME.fullmatch(member.name) or ".." in member.name.split("/"):
                self.damage["unsafe_member"] += 1
            elif member.size > limit:
                self.damage["too_large_member"] += 1
                yield f"{folder}/{key}" if folder else key, "too large", str(member.size).encode()
            elif (content := tar.extractfile(member)) is not None:
                yield f"{folder}/{key}" if folder else key, extension.lower(), content.read()

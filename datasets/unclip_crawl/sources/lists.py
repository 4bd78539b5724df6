"""Lists of addresses and folders of pictures, as streams of pairs."""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from unclip_crawl.languages import tag_of
from unclip_pairs.errors import UserError
from unclip_pairs.schema import NO_CONTEXT, Context, Pair, make_pair

COLUMNS = {
    "url": ("url", "image_url", "img_url", "src"),
    "caption": ("caption", "text", "alt", "alt_text", "top_caption", "title"),
    "page_url": ("page_url", "page", "pageurl", "source_page", "page_address"),
    "licence": ("licence", "license", "license_url", "licence_url"),
}
AROUND = tuple(field.name for field in fields(Context))
PIECE = 2**20
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
Row = Mapping[str, object]


class Digest(Protocol):
    """What bytes can be fed to, such as hashlib's sha256."""

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes."""


def _chosen_columns(path: Path, present: list[str]) -> dict[str, str]:
    """Which of the file's columns is which field; `UserError` when there is none for the address or the caption."""
    lowered = {name.lower(): name for name in reversed(present)}
    chosen = {field: lowered[name] for field, names in COLUMNS.items() for name in reversed(names) if name in lowered}
    chosen |= {name: lowered[name] for name in AROUND if name in lowered}
    for field in ("url", "caption"):
        if field not in chosen:
            raise UserError(f"{path} has the columns {', '.join(present) or '(none)'}, none for the {field}; name one of them {field!r}")
    return chosen


def _pair(row: Row, columns: Mapping[str, str]) -> Pair:
    value = {field: str(row[column]).strip() if row.get(column) is not None else "" for field, column in columns.items()}
    texts = {name: value[name] for name in AROUND if name in value}
    texts |= {name: texts[name] or None for name in ("language", "opt_out") if name in texts}
    return make_pair(value["url"], value["caption"], value.get("page_url", ""), value.get("licence") or None, _context(texts))


def _context(texts: Mapping[str, str | None]) -> Context:
    """What a list says around a picture; the language as a tag, or None."""
    return replace(NO_CONTEXT, **{**texts, "language": tag_of(texts.get("language"))}) if texts else NO_CONTEXT


def _from_parquet(path: Path, source: BinaryIO, digest: Digest | None) -> Iterator[Pair]:
    if digest is not None:  # Parquet is read from its end, so the bytes go by once before the rows do
        while data := source.read(PIECE):
            digest.update(data)
        source.seek(0)
    try:
        with ParquetFile(source) as file:
            columns = _chosen_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(columns.values()))):
                yield from (_pair(row, columns) for row in batch.to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UserError(
            f"{path} is not a Parquet file that can be read ({_first_line(error)}); write it again or correct the extension"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _lines(path: Path, source: BinaryIO, digest: Digest | None = None) -> Iterator[tuple[int, str]]:
    """The file's lines with their number from 1; `UserError` with the number when one is not UTF-8."""
    for number, line in enumerate(source, 1):
        if digest is not None:
            digest.update(line)
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, line {number}, column {error.start + 1} is not UTF-8; save the file as UTF-8") from error


def _from_csv(path: Path, source: BinaryIO, digest: Digest | None) -> Iterator[Pair]:
    lines = (line for _, line in _lines(path, source, digest))
    reader = csv.reader(lines, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        columns = _chosen_columns(path, header)
        for fields in reader:
            if len(fields) not in (0, len(header)):
                counts = f"{len(fields)} fields where the header has {len(header)}"
                raise UserError(f"{path}, line {reader.line_num} has {counts}; quote fields that hold commas")
            if fields:
                yield _pair(dict(zip(header, fields, strict=True)), columns)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} is not CSV ({error}); quote fields that hold quotes or line breaks") from error


def _json_row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        column = getattr(error, "colno", 1)
        raise UserError(f"{path}, line {number}, column {column} is not JSON ({_first_line(error)}); write one object per line") from error
    if not isinstance(row, dict):
        raise UserError(
            f"{path}, line {number} is {type(row).__name__}, not an object; write one object per line, with 'url' and 'caption'"
        )
    return row


def _from_jsonl(path: Path, source: BinaryIO, digest: Digest | None) -> Iterator[Pair]:
    for number, line in _lines(path, source, digest):
        if line.strip():
            row = _json_row(path, number, line)
            yield _pair(row, _chosen_columns_of_line(path, number, row))


def _chosen_columns_of_line(path: Path, number: int, row: Row) -> dict[str, str]:
    try:
        return _chosen_columns(path, list(row))
    except UserError as error:
        raise UserError(str(error).replace(str(path), f"{path}, line {number}", 1)) from error


_READERS: dict[str, Callable[[Path, BinaryIO, Digest | None], Iterator[Pair]]] = {
    ".parquet": _from_parquet,
    ".csv": _from_csv,
    ".tsv": _from_csv,
    ".jsonl": _from_jsonl,
    ".ndjson": _from_jsonl,
}


def pairs_from_list(path: str | Path, digest: Digest | None = None) -> Iterator[Pair]:
    """The pairs of a Parquet, CSV, TSV or JSON-lines list, streamed.

    Columns are found by name (`COLUMNS`; img2dataset's `url`/`text` and LAION's `URL`/`TEXT` are among them).
    `digest` is fed the file's bytes on the way. `UserError` names file, line and column.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"the list {path} ends in {path.suffix or 'nothing'!r}; use one of {', '.join(_READERS)}")
    if not path.is_file():
        raise UserError(f"the list {path} is not a file; check the path")
    try:
        with path.open("rb") as source:
            yield from reader(path, source, digest)
    except PermissionError as error:
        raise UserError(f"the list {path} may not be read; give read permission") from error


def check_list(path: str | Path) -> str:
    """Reads a list to its end, once; 64 hex digits: the sha256 of its bytes. `UserError` at the first flaw."""
    digest = hashlib.sha256()
    for _ in pairs_from_list(path, digest):
        pass
    return digest.hexdigest()


def _sidecar(picture: Path) -> dict[str, object]:
    """Caption, page and licence from the .json beside a picture, or the caption from the .txt; empty when there is neither."""
    described, text = picture.with_suffix(".json"), picture.with_suffix(".txt")
    if described.is_file():
        row = _json_row(described, 1, _text(described))
        lowered = {str(name).lower(): value for name, value in row.items()}
        return {field: lowered[name] for field, names in COLUMNS.items() for name in reversed(names) if lowered.get(name) is not None}
    if text.is_file():
        return {"caption": _text(text)}
    return {}


def _text(path: Path) -> str:
    with path.open("rb") as source:
        return "".join(line for _, line in _lines(path, source))


def pairs_from_folder(path: str | Path) -> Iterator[tuple[Pair, Path]]:
    """The pictures under a folder in sorted order, each with its pair and its path.

    The address is `file:///<folder>/<relative path>`, so keys do not depend on where the folder lies.
    Links that lead out of it are left out.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"the folder {root} is not there; check the path")
    for parent, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            picture = Path(parent) / name
            if picture.suffix.lower() in PICTURES and picture.resolve().is_relative_to(root.resolve()):
                known = {field: " ".join(str(value).split()) for field, value in _sidecar(picture).items()}
                url = "file:///" + quote(f"{root.resolve().name}/{picture.relative_to(root).as_posix()}")
                yield make_pair(url, known.get("caption", ""), known.get("page_url", ""), known.get("licence") or None), picture

"""Extraction: archives become one Parquet list of pairs, and nothing is fetched but the archives themselves.

The list is read by a crawl (`--list`) like any other; its `opt_out` column goes with it, so that what a page forbade stays forbidden.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from secrets import token_hex

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from unclip_crawl.addresses import is_remote
from unclip_crawl.archives.read import Tally, pages_of
from unclip_crawl.consent import MARKS
from unclip_crawl.sources.streams import Access, Unreadable, opened
from unclip_pairs.errors import UserError
from unclip_pairs.progress import Progress, silent
from unclip_pairs.schema import Context, Pair
from unclip_pairs.store import PART_PREFIX, explained

GROUP = 2_000
_TEXTS = [field.name for field in fields(Context)]
LIST_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "url", "page_url", "caption", "licence", *_TEXTS, "archive")])

Row = dict[str, str | None]


def _row(pair: Pair, archive: str) -> Row:
    known = {"key": pair.key, "url": pair.url, "page_url": pair.page_url, "caption": pair.caption, "licence": pair.licence}
    return known | {name: getattr(pair.context, name) or None for name in _TEXTS} | {"archive": archive}


def _rows(
    address: str, access: Access, marks: Collection[str], tally: Tally, report: Progress, before: int, total: int | None
) -> Iterator[Row]:
    """The rows of one archive; progress counts bytes."""
    last = 0.0
    with opened(address, access) as source:
        for page in pages_of(source, access.user_agent, marks, tally):
            yield from (_row(pair, address) for pair in page.pairs)
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                report(before + source.at, total, f"{address.rpartition('/')[2]}: {tally.summary()}")


@contextmanager
def _writing(out: Path) -> Iterator[ParquetWriter]:
    """A Parquet file that takes its name when the block ends well."""
    part = out.with_name(f"{PART_PREFIX}{token_hex(6)}-{out.name}")
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with ParquetWriter(part, LIST_SCHEMA, compression="zstd") as writer:
                yield writer
            part.replace(out)
        finally:
            with suppress(OSError):
                part.unlink()


def _write(writer: ParquetWriter, rows: Iterable[Row]) -> None:
    gathered: list[Row] = []
    for row in rows:
        gathered.append(row)
        if len(gathered) == GROUP:
            writer.write_table(pa.Table.from_pylist(gathered, schema=LIST_SCHEMA))
            gathered.clear()
    if gathered:
        writer.write_table(pa.Table.from_pylist(gathered, schema=LIST_SCHEMA))


def _sizes(addresses: Sequence[str]) -> int | None:
    """The bytes of all archives together; None when some are not on this machine's disk."""
    if any(is_remote(address) for address in addresses):
        return None
    for address in addresses:
        if not Path(address).is_file():
            raise UserError(f"{address} is not a file; check the path")
    return sum(Path(address).stat().st_size for address in addresses)


def extract(
    addresses: Sequence[str],
    out: str | Path,
    access: Access | None = None,
    marks: Collection[str] = MARKS,
    progress: Progress | None = None,
) -> dict[str, Tally]:
    """Writes the pairs of WARC and WAT files (paths, http(s) or s3 addresses) to a Parquet list; gives a tally per archive.

    One row per picture and page, opted-out ones with their directive in `opt_out`. Memory does not grow with the archives. What
    is damaged or cannot be had is counted in its tally. `UserError` when `out` is there already, or nothing at all can be read.
    """
    out, access, report = Path(out), access or Access(), progress or silent
    if out.exists():
        raise UserError(f"{out} is there already; move it aside or choose another name")
    if not addresses:
        raise UserError("no archive is named; name at least one WARC or WAT file")
    total, before, tallies, reasons = _sizes(addresses), 0, dict[str, Tally](), list[str]()
    with _writing(out) as writer:
        for address in addresses:
            tally = tallies[address] = Tally()
            try:
                _write(writer, _rows(address, access, marks, tally, report, before, total))
            except Unreadable as error:
                tally.damage[f"source_{error.reason}"] += 1
                reasons.append(error.detail)
            before += 0 if is_remote(address) else Path(address).stat().st_size
            report(before, total, f"{address.rpartition('/')[2]}: {tally.summary()}")
        if not any(tally.records for tally in tallies.values()):
            raise UserError(
                f"nothing could be read from {', '.join(addresses)} ({reasons[-1] if reasons else 'no record'}); check the addresses"
            )
    return tallies

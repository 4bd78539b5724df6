"""Archives: the pages of a WARC or WAT file, one after another, with a tally of what was read and what was wrong."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from unclip_crawl.archives.content_coding import plain_body
from unclip_crawl.archives.warc import Archive, Record
from unclip_crawl.archives.wat import read_metadata
from unclip_crawl.consent import MARKS, USER_AGENT, opt_out_in_headers, product_token
from unclip_crawl.languages import tag_of
from unclip_crawl.pages.charsets import encoding_of
from unclip_crawl.pages.html import HeaderSignals, Page, read_pairs
from unclip_crawl.sources.streams import Source

SNIFFED = 512
_PAGES = ("text/html", "application/xhtml+xml", "application/xhtml")
_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<body")


@dataclass
class Tally:
    """What was read of one archive: records by type, pages, pairs, pictures inside pages (data:), pages that opt out; and what was wrong
    with it, by name."""

    records: Counter[str] = field(default_factory=Counter)
    damage: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    pairs: int = 0
    embedded: int = 0
    opted_out: int = 0

    def add(self, page: Page) -> None:
        """Counts a page."""
        self.pages += 1
        self.pairs += len(page.pairs)
        self.embedded += page.embedded
        self.opted_out += page.opt_out is not None

    def summary(self) -> str:
        """One line: how much was read, and what was wrong."""
        wrong = ", ".join(f"{name} {count}" for name, count in sorted(self.damage.items()))
        read = f"{sum(self.records.values())} records, {self.pages} pages, {self.pairs} pairs"
        return f"{read}; damage: {wrong}" if wrong else read


def _is_page(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _PAGES


def wants(record: Record) -> bool:
    """Whether a record may hold a page or a page's metadata."""
    if record.kind == "metadata":
        return "json" in record.content_type.lower()
    if record.kind not in ("response", "resource") or record.status not in (None, 200):
        return False
    return _is_page(record.content_type) or not record.content_type


def _page(record: Record, token: str, marks: Collection[str], damage: Counter[str]) -> Page | None:
    """The page in a record, or None."""
    if record.kind == "metadata":
        try:
            return read_metadata(record.payload, token, marks)
        except ValueError:
            damage["not_json"] += 1
            return None
    body = plain_body(record.payload, record.value("transfer-encoding"), record.value("content-encoding"), damage)
    if not record.content_type and not body[:SNIFFED].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_BEGINNINGS):
        return None
    signals = HeaderSignals(
        tag_of(record.value("content-language")),
        opt_out_in_headers(record.headers.get("x-robots-tag", ()), record.headers.get("tdm-reservation", ()), token, marks),
    )
    return read_pairs(body, record.url, token, encoding_of(body, record.content_type), marks, signals)


def pages_of(source: Source, user_agent: str = USER_AGENT, marks: Collection[str] = MARKS, tally: Tally | None = None) -> Iterator[Page]:
    """The pages of a WARC or WAT file (gzip per record, gzip as a whole, or plain), as far as they can be read; `tally` counts.

    Pages that opt out come like the others, with the directive at the page and at each pair. Never raises for what is in the file.
    """
    tally = tally if tally is not None else Tally()
    archive = Archive(source, wants, damage=tally.damage, found=tally.records)
    token = product_token(user_agent)
    for record in archive.records():
        page = _page(record, token, marks, tally.damage)
        if page is not None:
            tally.add(page)
            yield page

"""Rows: how every address ends, one row of `CRAWL_SCHEMA` each."""

import re
from dataclasses import astuple, replace
from typing import Any, NotRequired, TypedDict

from unclip_crawl.addresses import host_of
from unclip_crawl.pages.html import Page
from unclip_crawl.pictures.prepare import Prepared
from unclip_crawl.retries import FOR_NOW, may_pass
from unclip_pairs.manifest import now
from unclip_pairs.schema import NO_CONTEXT, STATUSES, Context, Pair, make_pair

TRANSIENT = ("timeout", "dns_error", "connection_error", "disk_error")
DETAIL_LENGTH = 300
_ANSWERED = re.compile(r"(?:HTTP|robots\.txt answered) (\d{3})")


class CrawlRow(TypedDict):
    """A row of `CRAWL_SCHEMA`, its columns in their order."""

    key: str
    url: str
    page_url: str
    caption: str
    licence: str | None
    language: str | None
    alt: str | None
    title: str | None
    figcaption: str | None
    text_before: str | None
    text_after: str | None
    host: str
    status: str
    detail: str
    sha256: str | None
    byte_count: int | None
    content_type: str | None
    original_width: int | None
    original_height: int | None
    rights: str | None
    width: int | None
    height: int | None
    shard: str | None
    fetched_at: str


class Offered(TypedDict):
    """What a page offered: of each pair the address, the caption, the licence and the fields of its `Context`, as JSON keeps them."""

    pairs: list[list[Any]]
    links: list[str]


class PageRecord(TypedDict):
    """How a page ended, a row of pages.parquet; `offered` is there until the batch is finished."""

    url: str
    status: str
    detail: str
    opt_out: str | None
    pictures: int
    links: int
    offered: NotRequired[Offered]


def _row(pair: Pair, status: str, detail: str) -> CrawlRow:
    assert status in STATUSES, status
    return {
        "key": pair.key,
        "url": pair.url,
        "page_url": pair.page_url,
        "caption": pair.caption,
        "licence": pair.licence,
        "language": pair.context.language or None,
        "alt": pair.context.alt or None,
        "title": pair.context.title or None,
        "figcaption": pair.context.figcaption or None,
        "text_before": pair.context.text_before or None,
        "text_after": pair.context.text_after or None,
        "host": host_of(pair.url),
        "status": status,
        "detail": detail[:DETAIL_LENGTH],
        "sha256": None,
        "byte_count": None,
        "content_type": None,
        "original_width": None,
        "original_height": None,
        "rights": None,
        "width": None,
        "height": None,
        "shard": None,
        "fetched_at": now(),
    }


def failed_row(pair: Pair, status: str, detail: str, content_type: str | None = None, byte_count: int | None = None) -> CrawlRow:
    """The row of a picture that is not stored, with the reason. Of a listed picture no more is kept than where it was met."""
    if status == "listed_hash":
        pair, content_type, byte_count = replace(pair, caption="", licence=None, context=NO_CONTEXT), None, None
    return {**_row(pair, status, detail), "content_type": content_type, "byte_count": byte_count}


def stored_row(pair: Pair, picture: Prepared, content_type: str | None) -> CrawlRow:
    """The row of a stored picture; its shard is filled in when the shard is written."""
    return {
        **_row(pair, "ok", ""),
        "licence": pair.licence or picture.rights.licence,
        "rights": picture.rights.text,
        "content_type": content_type,
        "sha256": picture.sha256,
        "byte_count": picture.byte_count,
        "original_width": picture.original_width,
        "original_height": picture.original_height,
        "width": picture.width,
        "height": picture.height,
    }


def pair_of(row: CrawlRow) -> Pair:
    """The pair a row is about."""
    context = Context(
        alt=row.get("alt") or "",
        title=row.get("title") or "",
        figcaption=row.get("figcaption") or "",
        text_before=row.get("text_before") or "",
        text_after=row.get("text_after") or "",
        language=row.get("language"),
    )
    return Pair(row["key"], row["url"], row["page_url"], row["caption"], row["licence"], context)


def is_transient(row: CrawlRow | PageRecord) -> bool:
    """Whether another attempt may end differently: network trouble, a server's own fault, a full disk."""
    detail = row["detail"] or ""
    answered = _ANSWERED.match(detail)
    is_passing = detail.startswith(FOR_NOW) or (answered is not None and may_pass(int(answered.group(1))))
    return row["status"] in TRANSIENT or (row["status"] in ("http_error", "robots_denied", "host_stopped") and is_passing)


def page_record(page: Page, status: str, detail: str) -> PageRecord:
    """What is remembered of a page: how it ended and, until the batch is finished, what it offered."""
    assert status in STATUSES, status
    pairs = [[pair.url, pair.caption, pair.licence, *astuple(pair.context)] for pair in page.pairs]
    return {
        "url": page.url,
        "status": status,
        "detail": detail[:DETAIL_LENGTH],
        "opt_out": page.opt_out,
        "pictures": len(page.pairs),
        "links": len(page.links),
        "offered": {"pairs": pairs, "links": list(page.links)},
    }


def page_of(record: PageRecord) -> Page | None:
    """The page as it was found, or None when only its end is remembered."""
    offered = record.get("offered")
    if offered is None:
        return None
    of_page = Context(opt_out=record["opt_out"])
    pairs = tuple(
        make_pair(url, caption, record["url"], licence, Context(*around) if around else of_page)
        for url, caption, licence, *around in offered["pairs"]
    )
    return Page(record["url"], pairs, tuple(offered["links"]), record["opt_out"])

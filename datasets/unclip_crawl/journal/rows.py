"""Rows: how every address ends, one row of `CRAWL_SCHEMA` each."""

import re
from dataclasses import astuple, replace
from typing import Any

from unclip_crawl.addresses import host_of
from unclip_crawl.pages.html import Page
from unclip_crawl.pictures.prepare import Prepared
from unclip_crawl.retries import FOR_NOW, may_pass
from unclip_pairs.manifest import now
from unclip_pairs.schema import CRAWL_SCHEMA, NO_CONTEXT, STATUSES, Context, Pair, make_pair

Row = dict[str, Any]
TRANSIENT = ("timeout", "dns_error", "connection_error", "disk_error")
_EMPTY: Row = dict.fromkeys(CRAWL_SCHEMA.names)
DETAIL_LENGTH = 300
_ANSWERED = re.compile(r"(?:HTTP|robots\.txt answered) (\d{3})")
CONTEXT = ("alt", "title", "figcaption", "text_before", "text_after", "language")


def _row(pair: Pair, status: str, detail: str) -> Row:
    assert status in STATUSES, status
    known = {"key": pair.key, "url": pair.url, "page_url": pair.page_url, "caption": pair.caption, "licence": pair.licence}
    around = {name: getattr(pair.context, name) or None for name in CONTEXT}
    return _EMPTY | known | around | {"host": host_of(pair.url), "status": status, "detail": detail[:DETAIL_LENGTH], "fetched_at": now()}


def failed_row(pair: Pair, status: str, detail: str, content_type: str | None = None, byte_count: int | None = None) -> Row:
    """The row of a picture that is not stored, with the reason. Of a listed picture no more is kept than where it was met."""
    if status == "listed_hash":
        pair, content_type, byte_count = replace(pair, caption="", licence=None, context=NO_CONTEXT), None, None
    return _row(pair, status, detail) | {"content_type": content_type, "byte_count": byte_count}


def stored_row(pair: Pair, picture: Prepared, content_type: str | None) -> Row:
    """The row of a stored picture; its shard is filled in when the shard is written."""
    measures = {name: getattr(picture, name) for name in ("sha256", "byte_count", "original_width", "original_height", "width", "height")}
    marked = {"licence": pair.licence or picture.rights.licence, "rights": picture.rights.text}
    return _row(pair, "ok", "") | measures | marked | {"content_type": content_type}


def pair_of(row: Row) -> Pair:
    """The pair a row is about."""
    texts = {name: row.get(name) or "" for name in CONTEXT if name != "language"}
    context = Context(**texts, language=row.get("language"))
    return Pair(row["key"], row["url"], row["page_url"], row["caption"], row["licence"], context)


def is_transient(row: Row) -> bool:
    """Whether another attempt may end differently: network trouble, a server's own fault, a full disk."""
    detail = row["detail"] or ""
    answered = _ANSWERED.match(detail)
    is_passing = detail.startswith(FOR_NOW) or (answered is not None and may_pass(int(answered.group(1))))
    return row["status"] in TRANSIENT or (row["status"] in ("http_error", "robots_denied", "host_stopped") and is_passing)


def page_record(page: Page, status: str, detail: str) -> Row:
    """What is remembered of a page: how it ended and, until the batch is finished, what it offered."""
    assert status in STATUSES, status
    offered = {"pairs": [[pair.url, pair.caption, pair.licence, *astuple(pair.context)] for pair in page.pairs], "links": list(page.links)}
    ended = {"url": page.url, "status": status, "detail": detail[:DETAIL_LENGTH], "opt_out": page.opt_out}
    return ended | {"pictures": len(page.pairs), "links": len(page.links), "offered": offered}


def page_of(record: Row) -> Page | None:
    """The page as it was found, or None when only its end is remembered."""
    if record.get("offered") is None:
        return None
    offered = record["offered"]["pairs"]
    of_page = Context(opt_out=record["opt_out"])
    pairs = tuple(
        make_pair(url, caption, record["url"], licence, Context(*around) if around else of_page)
        for url, caption, licence, *around in offered
    )
    return Page(record["url"], pairs, tuple(record["offered"]["links"]), record["opt_out"])

"""Consent: the User-Agent header, what robots.txt allows, and what a site asks not to be learned from."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from unclip_pairs.errors import UserError

if TYPE_CHECKING:
    from protego import Protego

USER_AGENT = "unclip-crawler/0.1"  # unless the operator names a crawler of their own
TDM = "tdm-reservation"
DATA_MINING = "data-mining"  # PLUS's property in a picture's XMP
MARKS = ("noai", "noimageai", "noml", "noindex", "noimageindex", "none", TDM, DATA_MINING)
LEAST_REASON = 20
ROBOTS_BYTES = 500 * 1024
OTHER_AGENTS = (
    *("mozilla", "applewebkit", "chrome", "chromium", "safari", "gecko", "firefox", "opera", "edge", "msie", "trident"),
    *("googlebot", "bingbot", "ccbot", "gptbot", "chatgpt", "oai-searchbot", "claudebot", "anthropic", "perplexitybot", "applebot"),
    *("amazonbot", "bytespider", "yandex", "baiduspider", "duckduckbot", "slurp", "facebookexternalhit", "meta-externalagent"),
    *("twitterbot", "linkedinbot", "pinterest", "petalbot", "semrush", "ahrefs", "mj12bot", "archive.org_bot", "ia_archiver"),
    *("curl", "wget", "python-requests", "img2dataset"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,40}/[0-9A-Za-z.+-]{1,20}")
_CONTACT = re.compile(r"https?://[^\s()<>\"]{3,}|(?:mailto:)?[^\s@()<>\"]+@[^\s@()<>\"]+")
_VERSIONED = re.compile(r"(?im)^(\s*user-?agent\s*:\s*[\w-]+)/\S*")
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


def user_agent_header(user_agent: str, contact: str) -> str:
    """The User-Agent header: product, version and a contact.

    `UserError` when it is blank, reaches nobody or names another bot or browser.
    """
    if not _PRODUCT.fullmatch(user_agent):
        raise UserError(
            f"user_agent {user_agent!r} does not name the crawler; write it as product/version, for instance my-lab-crawler/1.0"
        )
    impersonated = next((name for name in OTHER_AGENTS if name in user_agent.lower()), None)
    if impersonated is not None:
        raise UserError(f"user_agent {user_agent!r} contains {impersonated!r}, the name of another bot or browser; use a name of your own")
    if not _CONTACT.fullmatch(contact):
        raise UserError(f"contact {contact!r} reaches nobody; give an e-mail address or an http(s) address of whoever runs this crawl")
    return f"{user_agent} (+{contact})"


def product_token(user_agent: str) -> str:
    """The name robots.txt and X-Robots-Tag address us by: the part before the slash, lower case."""
    return user_agent.partition("/")[0].lower()


def checked_marks(marks: Collection[str], reason: str) -> tuple[str, ...]:
    """The opt-out marks that are honoured; `UserError` when one of `MARKS` is left out without a written reason."""
    wanted = tuple(dict.fromkeys(mark.strip().lower() for mark in marks))
    dropped = [mark for mark in MARKS if mark not in wanted]
    if dropped and len(reason.strip()) < LEAST_REASON:
        raise UserError(
            f"marks leaves out {', '.join(dropped)}, by which sites say no to training; honour them, or write into marks_reason why not"
            f" (at least {LEAST_REASON} characters; it is kept in the batch's manifest)"
        )
    return wanted


def _addressed(value: str, token: str) -> str:
    """The directives of one X-Robots-Tag value that concern us: not "googlebot: noindex", but "googlebot: all, unclip-crawler: noai"."""
    ours, is_ours = list[str](), True
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip().lower() not in _VALUED:
            is_ours, part = name.strip().lower() in (token, "*", "robots"), rest
        if is_ours:
            ours.append(part)
    return ",".join(ours)


def _directives(value: str) -> set[str]:
    return {part.strip().lower() for part in re.split(r"[,;\s]+", value) if part.strip()}


def opt_out_in_headers(
    robots_tags: Iterable[str], tdm_reservation: Iterable[str], token: str, marks: Collection[str] = MARKS
) -> str | None:
    """The directive by which an HTTP answer opts out of training, or None.

    X-Robots-Tag (any of `marks`, general or addressed to us) and tdm-reservation: 1 (TDM Reservation Protocol) count.
    """
    for value in robots_tags:
        found = _directives(_addressed(value, token)) & set(marks)
        if found:
            return f"X-Robots-Tag: {min(found)}"
    return f"{TDM}: 1" if TDM in marks and any(value.strip() == "1" for value in tdm_reservation) else None


def opt_out_in_meta(metas: Iterable[tuple[str, str]], token: str, marks: Collection[str] = MARKS) -> str | None:
    """The same for a page's meta elements, given as (name, content); it covers every picture on the page."""
    for name, content in metas:
        known = name.strip().lower()
        found = _directives(content) & set(marks) if known in ("robots", token) else set[str]()
        if found:
            return f"meta {known}: {min(found)}"
        if known == TDM and TDM in marks and content.strip() == "1":
            return f"meta {TDM}: 1"
    return None


def follows_links(metas: Iterable[tuple[str, str]], token: str) -> bool:
    """Whether the page lets crawlers follow its links (no nofollow, no none)."""
    contents = (content for name, content in metas if name.strip().lower() in ("robots", token))
    return not any(_directives(content) & {"nofollow", "none"} for content in contents)


@dataclass(frozen=True)
class RobotsRules:
    """One host's robots.txt as RFC 9309 reads it: 4xx allows all, 5xx forbids all."""

    refusal: str | None
    rules: "Protego | None"
    token: str

    def why_denied(self, url: str) -> str | None:
        """One sentence when the address may not be fetched, else None."""
        if self.refusal is not None:
            return self.refusal
        if self.rules is None or self.rules.can_fetch(url, self.token):
            return None
        return "robots.txt forbids this address"

    def delay_s(self) -> float:
        """The Crawl-delay asked of us in seconds, 0 when none is asked."""
        asked = self.rules.crawl_delay(self.token) if self.rules is not None else None
        return float(asked or 0)


def _whole_lines(body: bytes) -> str:
    """The first 500 KiB as text, without a line that the limit cuts: half an address would allow or forbid something else."""
    kept = body if len(body) <= ROBOTS_BYTES else body[: body.rfind(b"\n", 0, ROBOTS_BYTES) + 1]
    return _VERSIONED.sub(r"\1", kept.decode("utf-8-sig", "ignore"))


def read_robots(status: int, body: bytes, token: str) -> RobotsRules:
    """The rules in an answer to /robots.txt; redirects must have been followed."""
    if 200 <= status < 300:
        from protego import Protego  # the options of `unclip data crawl` are read where it may not be installed

        return RobotsRules(None, Protego.parse(_whole_lines(body)), token)
    if 400 <= status < 500 and status != 429:
        return RobotsRules(None, None, token)
    return RobotsRules(f"robots.txt answered {status}", None, token)


@dataclass(frozen=True)
class Reservations:
    """What /.well-known/tdmrep.json reserves: patterns of paths (with * and $, as in robots.txt), each reserved or free."""

    locations: tuple[tuple[str, bool], ...] = ()

    def why_reserved(self, url: str) -> str | None:
        """One phrase when the address is reserved, else None; the longest pattern decides, and of two equals the one that reserves."""
        parts = urlsplit(url)
        path = _plain(parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        matching = [(len(where), reserved) for where, reserved in self.locations if _pattern(where).match(path)]
        return "tdmrep.json reserves this address" if matching and max(matching)[1] else None


def _plain(path: str) -> str:
    """The path with one spelling for each letter, however it is escaped."""
    return quote(unquote(path), safe="/*$:@!&'()+,;=~")


def _pattern(where: str) -> re.Pattern[str]:
    body, end = (where[:-1], r"\Z") if where.endswith("$") else (where, "")
    return re.compile(".*".join(re.escape(part) for part in _plain(body).split("*")) + end, re.DOTALL)


def _locations(rules: object) -> Iterator[tuple[str, bool]]:
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict) and isinstance(rule.get("location"), str) and TDM in rule:
            yield rule["location"], str(rule[TDM]).strip() == "1"


def read_reservations(status: int, body: bytes) -> Reservations:
    """The reservations in an answer to /.well-known/tdmrep.json; any other answer than a readable file reserves nothing."""
    if status != 200:
        return Reservations()
    try:
        return Reservations(tuple(_locations(json.loads(body.decode("utf-8-sig")))))
    except (ValueError, RecursionError):
        return Reservations()

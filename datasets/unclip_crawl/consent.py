"""This file is consent: who we say we are, what robots.txt allows, and what a site asks not to be learned from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from protego import Protego

from unclip_pairs.errors import UserError

OPT_OUT = ("noai", "noimageai", "noml", "noindex", "noimageindex", "none")
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


def _addressed(value: str, token: str) -> str:
    """The directives of one X-Robots-Tag value that concern us; "googlebot: noindex" does not, "unclip-crawler: noai" does."""
    name, colon, rest = value.partition(":")
    if not colon or "," in name or name.strip().lower() in _VALUED:
        return value
    return rest if name.strip().lower() in (token, "*", "robots") else ""


def _directives(value: str) -> set[str]:
    return {part.strip().lower() for part in re.split(r"[,;\s]+", value) if part.strip()}


def opt_out_in_headers(robots_tags: Iterable[str], tdm_reservation: Iterable[str], token: str) -> str | None:
    """The directive by which an HTTP answer opts out of training, or None.

    X-Robots-Tag (any of `OPT_OUT`, general or addressed to us) and tdm-reservation: 1 (TDM Reservation Protocol) are heard.
    """
    for value in robots_tags:
        found = _directives(_addressed(value, token)) & set(OPT_OUT)
        if found:
            return f"X-Robots-Tag: {min(found)}"
    return "tdm-reservation: 1" if any(value.strip() == "1" for value in tdm_reservation) else None


def opt_out_in_meta(metas: Iterable[tuple[str, str]], token: str) -> str | None:
    """The same for a page's meta elements, given as (name, content); it covers every picture on the page."""
    for name, content in metas:
        known = name.strip().lower()
        found = _directives(content) & set(OPT_OUT) if known in ("robots", token) else set[str]()
        if found:
            return f"meta {known}: {min(found)}"
        if known == "tdm-reservation" and content.strip() == "1":
            return "meta tdm-reservation: 1"
    return None


def follows_links(metas: Iterable[tuple[str, str]], token: str) -> bool:
    """Whether the page lets crawlers follow its links (no nofollow, no none)."""
    contents = (content for name, content in metas if name.strip().lower() in ("robots", token))
    return not any(_directives(content) & {"nofollow", "none"} for content in contents)


@dataclass(frozen=True)
class RobotsRules:
    """One host's robots.txt as RFC 9309 reads it: 4xx allows all, 5xx forbids all."""

    refusal: str | None
    rules: Protego | None
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


def read_robots(status: int, body: bytes, token: str) -> RobotsRules:
    """The rules in an answer to /robots.txt; redirects must have been followed."""
    if 200 <= status < 300:
        return RobotsRules(None, Protego.parse(body[:ROBOTS_BYTES].decode("utf-8-sig", "ignore")), token)
    if 400 <= status < 500 and status != 429:
        return RobotsRules(None, None, token)
    return RobotsRules(f"robots.txt answered {status}", None, token)

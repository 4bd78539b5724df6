"""Sitemaps: the pages that a site lists for crawlers, with their pictures (sitemaps.org, and Google's image extension)."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import lxml.etree

from unclip_crawl.addresses import why_invalid
from unclip_crawl.licences import licence_name
from unclip_pairs.schema import Context, Pair, make_pair

MAX_BYTES = 50 * 2**20  # sitemaps.org: 50 MB unpacked and 50,000 addresses at most
MAX_ENTRIES = 50_000
MAX_PICTURES = 1000  # of one page
MAX_DEPTH = 4
_SITEMAP_LINE = re.compile(rb"(?im)^[ \t]*sitemap[ \t]*:[ \t]*(\S+)")
_LINE = re.compile(rb"https?://\S+")


@dataclass
class Sitemap:
    """What one sitemap lists: pages with the pictures on them, and further sitemaps; `flaw` says in a few words what was wrong with it."""

    pages: list[tuple[str, tuple[Pair, ...]]] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    flaw: str = ""


def _unpacked(body: bytes) -> tuple[bytes, str]:
    """The body without gzip, at most `MAX_BYTES`, and what was wrong."""
    if not body.startswith(b"\x1f\x8b"):
        return body[:MAX_BYTES], "" if len(body) <= MAX_BYTES else "cut at 50 MB"
    member = zlib.decompressobj(31)
    try:
        text = member.decompress(body, MAX_BYTES)
    except zlib.error:
        return b"", "damaged gzip"
    return text, "" if member.eof else "cut at 50 MB" if len(text) == MAX_BYTES else "truncated gzip"


def _name(element: lxml.etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def _children(element: lxml.etree._Element) -> dict[str, str]:
    """The first text of each child by its name without the namespace."""
    texts: dict[str, str] = {}
    for child in element:
        texts.setdefault(_name(child), " ".join((child.text or "").split()))
    return texts


def _pictures(entry: lxml.etree._Element, page: str) -> Iterator[Pair]:
    """The pictures of an entry, at most `MAX_PICTURES`; the caption is theirs, else their title."""
    count = 0
    for element in entry:
        if _name(element) == "image" and count < MAX_PICTURES:
            texts = _children(element)
            if texts.get("loc"):
                count += 1
                caption, title = texts.get("caption", ""), texts.get("title", "")
                licence = licence_name(texts["license"]) if texts.get("license") else None
                yield make_pair(texts["loc"], caption or title, page, licence, Context(title=title, figcaption=caption))


def _entries(text: bytes, found: Sitemap) -> None:
    """Reads the entries one by one and drops each when it is read."""
    parser = lxml.etree.XMLPullParser(("end",), resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    for start in range(0, len(text), 65536):
        parser.feed(text[start : start + 65536])
        for _, element in parser.read_events():
            name = _name(element)
            if name not in ("url", "sitemap"):
                continue
            where = _children(element).get("loc", "")
            if why_invalid(where) is None:
                if name == "sitemap":
                    found.maps.append(where)
                else:
                    found.pages.append((where, tuple(_pictures(element, where))))
            element.clear()
            if len(found.pages) + len(found.maps) >= MAX_ENTRIES:
                found.flaw = f"more than {MAX_ENTRIES} entries"
                return


def read_sitemap(body: bytes) -> Sitemap:
    """The entries of a sitemap or sitemap index (XML, or plain text with an address per line; gzip or not), within bounds.

    A body that is neither gives none and says so in `flaw`.
    """
    text, flaw = _unpacked(body)
    found = Sitemap(flaw=flaw)
    if text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        try:
            _entries(text, found)
        except lxml.etree.XMLSyntaxError as error:
            found.flaw = f"not XML: {error.msg}"
    else:
        lines = (line.group(0).decode("utf-8", "replace") for line in _LINE.finditer(text))
        found.pages = [(line, ()) for line, _ in zip(lines, range(MAX_ENTRIES), strict=False) if why_invalid(line) is None]
    if not found.pages and not found.maps and not found.flaw:
        found.flaw = "no entries"
    return found


def maps_in_robots(body: bytes) -> Sitemap:
    """The sitemaps that a robots.txt names in its Sitemap lines."""
    named = dict.fromkeys(line.decode("utf-8", "replace") for line in _SITEMAP_LINE.findall(body))
    maps = [url for url in named if why_invalid(url) is None]
    return Sitemap(maps=maps, flaw="" if maps else "names no sitemap")

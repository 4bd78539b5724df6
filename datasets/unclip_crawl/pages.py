"""This file is pages: the pictures, captions, licences and links of one HTML page."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

import lxml.etree
import lxml.html

from unclip_crawl.consent import MARKS, follows_links, opt_out_in_meta
from unclip_pairs.schema import Pair, make_pair

LAZY_SOURCES = ("src", "data-src", "data-original", "data-lazy-src")
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)", re.IGNORECASE)
_KNOWN_LICENCES = (
    (re.compile(r"opensource\.org/licenses?/mit|spdx\.org/licenses/mit\b", re.IGNORECASE), "MIT"),
    (re.compile(r"apache\.org/licenses/license-2\.0|spdx\.org/licenses/apache-2\.0", re.IGNORECASE), "Apache-2.0"),
    (re.compile(r"openfontlicense\.org|scripts\.sil\.org/ofl", re.IGNORECASE), "OFL-1.1"),
    (re.compile(r"spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html)?$", re.IGNORECASE), ""),
)


@dataclass(frozen=True)
class Page:
    """What one page offers: its pairs, the addresses it links to, and the directive by which it opts out of training, if any."""

    url: str
    pairs: tuple[Pair, ...]
    links: tuple[str, ...]
    opt_out: str | None


def licence_name(mark: str) -> str:
    """The SPDX name of a licence address where it is a known one; other marks come back as published."""
    found = _CREATIVE_COMMONS.search(mark)
    if found:
        shelf, terms, version = (part.lower() for part in found.groups())
        if shelf == "publicdomain":
            return {"zero": f"CC0-{version}", "mark": f"PDM-{version}"}.get(terms, mark)
        return f"CC-{terms.upper()}-{version}"
    for pattern, name in _KNOWN_LICENCES:
        match = pattern.search(mark)
        if match:
            return name or match.group(1)
    return mark


def _licence_marks(element: lxml.html.HtmlElement) -> Iterator[str]:
    for mark in element.xpath(".//a[@rel] | .//link[@rel] | .//area[@rel]"):
        if "license" in mark.get("rel", "").lower().split():
            text = (mark.get("href") or mark.text_content() or "").strip()
            if text:
                yield licence_name(text)


def _page_licence(tree: lxml.html.HtmlElement) -> str | None:
    """The mark that stands for the whole page: outside every figure."""
    for mark in tree.xpath("//*[@rel][not(ancestor::figure)]"):
        if "license" in mark.get("rel", "").lower().split():
            text = (mark.get("href") or mark.text_content() or "").strip()
            if text:
                return licence_name(text)
    return None


def _figure(image: lxml.html.HtmlElement) -> lxml.html.HtmlElement | None:
    return next(iter(image.iterancestors("figure")), None)


def _caption(image: lxml.html.HtmlElement, figure: lxml.html.HtmlElement | None) -> str:
    """alt, else title, else the figure's caption; white space is folded, nothing else is changed."""
    figcaption = figure.find(".//figcaption") if figure is not None else None
    shown = figcaption.text_content() if figcaption is not None else ""
    candidates = (image.get("alt") or "", image.get("title") or "", shown)
    return next((text for candidate in candidates if (text := " ".join(candidate.split()))), "")


def _largest_of(srcset: str) -> str:
    """The address with the largest width or density in a srcset."""
    best, best_size = "", -1.0
    for candidate in re.finditer(r"([^\s,]\S*[^\s,])(?:\s+(\d+(?:\.\d+)?)[wx])?\s*(?:,|$)", srcset):
        size = float(candidate.group(2) or 1)
        if size > best_size:
            best, best_size = candidate.group(1), size
    return best


def _source(image: lxml.html.HtmlElement) -> str:
    """The picture's address as written, or "" when there is none that can be fetched (data: holds the picture itself)."""
    written = [image.get(name, "").strip() for name in LAZY_SOURCES] + [_largest_of(image.get("srcset", ""))]
    return next((source for source in written if source and not source.lower().startswith(("data:", "blob:", "javascript:"))), "")


def _joined(base: str, address: str) -> str:
    try:
        return urldefrag(urljoin(base, address.strip())).url
    except ValueError:
        return address.strip()


def _pairs(tree: lxml.html.HtmlElement, base: str, url: str) -> Iterator[Pair]:
    page_licence = _page_licence(tree)
    for image in tree.iter("img"):
        source = _source(image)
        if source:
            figure = _figure(image)
            own = next(_licence_marks(figure), None) if figure is not None else None
            yield make_pair(_joined(base, source), _caption(image, figure), url, own or page_licence)


def _links(tree: lxml.html.HtmlElement, base: str) -> Iterator[str]:
    for anchor in tree.xpath("//a[@href] | //area[@href] | //link[@rel='next'][@href]"):
        if "nofollow" not in anchor.get("rel", "").lower().split():
            link = _joined(base, anchor.get("href"))
            if link.startswith(("http://", "https://")) and _is_parsable(link):
                yield link


def _is_parsable(link: str) -> bool:
    try:
        return bool(urlsplit(link).hostname) and urlsplit(link).port != 0
    except ValueError:
        return False


def _recoded(body: bytes, encoding: str) -> bytes:
    """The body in UTF-8, with what the encoding cannot read replaced; Python knows more encodings than libxml2 does."""
    try:
        return body.decode(encoding, "replace").encode("utf-8", "replace")
    except LookupError:
        return body


def read_page(body: bytes, url: str, token: str, encoding: str = "utf-8", marks: Collection[str] = MARKS) -> Page:
    """The page's pairs in their order and its links, each once; the bytes may be any HTML, however broken."""
    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        tree = lxml.html.document_fromstring(_recoded(body, encoding), parser=parser)
    except (lxml.etree.ParserError, ValueError):
        return Page(url, (), (), None)
    bases = tree.xpath("//base[@href]")
    base = _joined(url, bases[0].get("href")) if bases else url
    metas = [(meta.get("name", ""), meta.get("content", "")) for meta in tree.iter("meta")]
    links = dict.fromkeys(_links(tree, base)) if follows_links(metas, token) else {}
    return Page(url, tuple(dict.fromkeys(_pairs(tree, base, url))), tuple(links), opt_out_in_meta(metas, token, marks))

"""Pages: the pictures, captions, licences and links of one HTML page, live or from an archive."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urldefrag, urljoin, urlsplit

import lxml.etree

from unclip_crawl.consent import MARKS, follows_links, opt_out_in_meta
from unclip_crawl.languages import detected, tag_of
from unclip_crawl.licences import figure_licence, page_licence
from unclip_crawl.pages.charsets import text_of
from unclip_crawl.pages.context import Surroundings
from unclip_pairs.schema import Context, Pair, make_pair

# what scripts load later comes first: beside it, src is a stand-in
LAZY_SOURCES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src", "src")
LAZY_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
NOT_FETCHED = ("data:", "blob:", "javascript:", "about:")
CAPTION_LENGTH = 4096
NEAR = 32  # levels up in which a figure or a picture element is looked for
_CANDIDATE = re.compile(r"([^\s,]\S*[^\s,])(?:\s+(\d+(?:\.\d+)?)[wx])?\s*(?:,|$)")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True)
class HeaderSignals:
    """What the HTTP headers of a page say: its language and the directive by which it opts out of training, if any."""

    language: str | None = None
    opt_out: str | None = None


@dataclass(frozen=True)
class Page:
    """What one page offers: its pairs, the addresses it links to, the directive by which it opts out of training, if any, and how many
    pictures lie in the page itself (data:) and are not fetched."""

    url: str
    pairs: tuple[Pair, ...]
    links: tuple[str, ...]
    opt_out: str | None
    embedded: int = 0


def largest_of(srcset: str) -> str:
    """The address with the largest width or density in a srcset."""
    best, best_size = "", -1.0
    for candidate in _CANDIDATE.finditer(srcset):
        size = float(candidate.group(2) or 1)
        if size > best_size and not candidate.group(1).lower().startswith(NOT_FETCHED):
            best, best_size = candidate.group(1), size
    return best


def _ancestor(image: lxml.etree._Element, tag: str) -> lxml.etree._Element | None:
    """The nearest element of this name around the picture, looked for `NEAR` levels up."""
    for _, parent in zip(range(NEAR), image.iterancestors(), strict=False):
        if parent.tag == tag:
            return parent
    return None


def _written_sources(image: lxml.etree._Element) -> Iterator[str]:
    """Every address the picture may be had at, the likeliest first."""
    yield from (image.get(name, "").strip() for name in LAZY_SOURCES)
    yield from (largest_of(image.get(name, "")) for name in LAZY_SETS)
    picture = _ancestor(image, "picture")
    if picture is not None:
        for source in picture.iter("source"):
            yield from (largest_of(source.get(name, "")) for name in LAZY_SETS)


def _source(image: lxml.etree._Element) -> tuple[str, bool]:
    """The picture's address as written, or "" when there is none that can be fetched; and whether the picture lies in the page."""
    embedded = False
    for source in _written_sources(image):
        if source and not source.lower().startswith(NOT_FETCHED):
            return source, False
        embedded = embedded or source[:5].lower() == "data:"
    return "", embedded


def joined(base: str, address: str) -> str:
    """The address made whole against the base, without its fragment; as written when it cannot be read."""
    try:
        whole = urljoin(base, address.strip())
        return urldefrag(whole).url if "#" in whole else whole
    except ValueError:
        return address.strip()


class _Reading:
    """One page while it is read. `is_marked`: some word in it may be a licence's, which is worth a search."""

    def __init__(self, tree: lxml.etree._Element, url: str, signals: HeaderSignals, opt_out: str | None, is_marked: bool) -> None:
        self.tree, self.url, self.opt_out = tree, url, opt_out
        self.base = _base(tree, url)
        self.language = _declared_language(tree) or tag_of(signals.language)
        self.is_marked = is_marked
        self.licence = page_licence(tree) if is_marked else None
        self.embedded = 0

    def pairs(self) -> Iterator[Pair]:
        """The pairs in their order; the caption is alt, else title, else the figure's caption, with white space folded."""
        found: list[tuple[lxml.etree._Element, str]] = []
        for image in self.tree.iter("img"):
            source, is_embedded = _source(image)
            self.embedded += is_embedded
            if source:
                found.append((image, source))
        captions = [self._captions(image) for image, _ in found]
        surroundings = Surroundings(self.tree, [image for image, _ in found])
        if found and self.language is None:
            self.language = detected(surroundings.beginning())
        for number, ((image, source), (alt, title, shown, licence)) in enumerate(zip(found, captions, strict=True)):
            language = tag_of(image.get("lang")) or self.language
            around = (surroundings.before(number), surroundings.after(number))
            context = Context(alt, title, shown, *around, language, self.opt_out)
            yield make_pair(joined(self.base, source), alt or title or shown, self.url, licence or self.licence, context)

    def _captions(self, image: lxml.etree._Element) -> tuple[str, str, str, str | None]:
        """alt, title and the figure's caption, and the figure's own licence."""
        figure = _ancestor(image, "figure")
        caption = figure.find(".//figcaption") if figure is not None else None
        texts = (image.get("alt", ""), image.get("title", ""), "".join(caption.itertext()) if caption is not None else "")
        alt, title, shown = (" ".join(text.split())[:CAPTION_LENGTH] for text in texts)
        return alt, title, shown, figure_licence(figure) if figure is not None and self.is_marked else None

    def links(self) -> Iterator[str]:
        """The addresses it links to, without those it asks not to follow."""
        for anchor in self.tree.xpath("//a[@href] | //area[@href] | //link[@rel='next'][@href]"):
            if "nofollow" not in anchor.get("rel", "").lower().split():
                link = joined(self.base, anchor.get("href"))
                if link.startswith(("http://", "https://")) and _is_parsable(link):
                    yield link


def _base(tree: lxml.etree._Element, url: str) -> str:
    """What relative addresses are relative to: the first base element's address, else the page's own."""
    bases = tree.xpath("//base[@href]")
    written = bases[0].get("href", "").strip() if bases else ""
    return url if not written or written.lower().startswith(NOT_FETCHED) else joined(url, written)


def _declared_language(tree: lxml.etree._Element) -> str | None:
    root = next(tree.iter("html"), tree)
    declared = tag_of(root.get("lang") or root.get(_XML_LANG) or root.get("xml:lang"))
    if declared is not None:
        return declared
    metas = (meta for meta in tree.iter("meta") if meta.get("http-equiv", "").lower() == "content-language")
    return tag_of(next((meta.get("content", "") for meta in metas), ""))


def _is_parsable(link: str) -> bool:
    try:
        return bool(urlsplit(link).hostname) and urlsplit(link).port != 0
    except ValueError:
        return False


def _parsed(text: str) -> lxml.etree._Element | None:
    """The tree; Python knows more encodings than libxml2 does, so it is given UTF-8. The body is bounded, so deep pages may be read."""
    parser = lxml.etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    try:
        return lxml.etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (lxml.etree.LxmlError, ValueError):
        return None


def _read(body: bytes, url: str, token: str, encoding: str, marks: Collection[str], signals: HeaderSignals) -> tuple[Page, _Reading | None]:
    """The page without its links, and what it was read from."""
    text = text_of(body, encoding)
    tree = _parsed(text)
    if tree is None:
        return Page(url, (), (), signals.opt_out), None
    lowered = text.lower()
    is_marked = "license" in lowered or "creativecommons" in lowered
    reading = _Reading(tree, url, signals, signals.opt_out or opt_out_in_meta(_metas(tree), token, marks), is_marked)
    pairs = {pair.key: pair for pair in reversed(list(reading.pairs()))}
    return Page(url, tuple(reversed(pairs.values())), (), reading.opt_out, reading.embedded), reading


def _metas(tree: lxml.etree._Element) -> list[tuple[str, str]]:
    return [(meta.get("name", ""), meta.get("content", "")) for meta in tree.iter("meta")]


def read_pairs(
    body: bytes, url: str, token: str, encoding: str = "utf-8", marks: Collection[str] = MARKS, signals: HeaderSignals | None = None
) -> Page:
    """As `read_page`, without the links."""
    return _read(body, url, token, encoding, marks, signals or HeaderSignals())[0]


def read_page(
    body: bytes, url: str, token: str, encoding: str = "utf-8", marks: Collection[str] = MARKS, signals: HeaderSignals | None = None
) -> Page:
    """The page's pairs in their order and its links, each once; the bytes may be any HTML, however broken.

    An opt-out, of the headers or of the page itself, stands at the page and at each of its pairs.
    """
    page, reading = _read(body, url, token, encoding, marks, signals or HeaderSignals())
    if reading is None or not follows_links(_metas(reading.tree), token):
        return page
    return replace(page, links=tuple(dict.fromkeys(reading.links())))

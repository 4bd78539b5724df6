"""The reference: every `<img>` pair of a page by lxml alone, given the page's text as it was written. Shares no code with the extractor.

A pair is (page, picture, caption). One per img: the address that a browser would load last (lazy-load attribute, src, largest of srcset,
source elements of the picture element); none for img without an address or with the picture in it (data:).
"""

from urllib.parse import urldefrag, urljoin

from lxml import html

LAZY = ["data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src"]


def _largest(srcset: str) -> str:
    best = ("", -1.0)
    for piece in srcset.split(", "):
        words = piece.split()
        if words:
            size = float(words[1][:-1]) if len(words) > 1 else 1.0
            best = max(best, (words[0], size), key=lambda candidate: candidate[1])
    return best[0]


def _address(img: html.HtmlElement) -> str:
    written = [img.attrib[name] for name in [*LAZY, "src"] if name in img.attrib]
    written += [_largest(img.attrib[name]) for name in ["srcset", "data-srcset", "data-lazy-srcset"] if name in img.attrib]
    for picture in img.xpath("ancestor::picture[1]"):
        for source in picture.xpath(".//source"):
            written += [_largest(source.attrib[name]) for name in ["srcset", "data-srcset", "data-lazy-srcset"] if name in source.attrib]
    fetched = [address.strip() for address in written if address.strip() and not address.strip().lower().startswith("data:")]
    return fetched[0] if fetched else ""


def _caption(img: html.HtmlElement) -> str:
    shown = [caption.text_content() for figure in img.xpath("ancestor::figure[1]") for caption in figure.xpath(".//figcaption")[:1]]
    texts = [" ".join(text.split()) for text in [img.attrib.get("alt", ""), img.attrib.get("title", ""), *shown]]
    return next(filter(None, texts), "")


def pairs(page: str, text: str) -> set[tuple[str, str, str]]:
    """The pairs of a page whose text is already decoded."""
    tree = html.document_fromstring(text.encode(), parser=html.HTMLParser(encoding="utf-8"))
    base = urljoin(page, (tree.xpath("//base/@href") or [page])[0])
    addressed = [(img, _address(img)) for img in tree.xpath("//img")]
    return {(page, urldefrag(urljoin(base, address)).url, _caption(img)) for img, address in addressed if address}

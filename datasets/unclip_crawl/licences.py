"""Licences: the marks by which a page or a figure says under which terms its pictures may be used."""

import re
from collections.abc import Iterator

import lxml.etree

_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)", re.IGNORECASE)
_KNOWN_LICENCES = (
    (re.compile(r"opensource\.org/licenses?/mit|spdx\.org/licenses/mit\b", re.IGNORECASE), "MIT"),
    (re.compile(r"apache\.org/licenses/license-2\.0|spdx\.org/licenses/apache-2\.0", re.IGNORECASE), "Apache-2.0"),
    (re.compile(r"openfontlicense\.org|scripts\.sil\.org/ofl", re.IGNORECASE), "OFL-1.1"),
    (re.compile(r"spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html)?$", re.IGNORECASE), ""),
)
_MARKED = ".//*[@rel or @itemprop][self::a or self::link or self::area or self::meta]"
_LINKED = ".//a[contains(@href, 'creativecommons.org/')]"


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


def is_creative_commons(address: str) -> bool:
    """Whether the address is that of a Creative Commons deed."""
    return _CREATIVE_COMMONS.search(address) is not None


def _declared(element: lxml.etree._Element) -> Iterator[tuple[lxml.etree._Element, str]]:
    """Elements with rel=license or itemprop=license under this one, and what they name."""
    for mark in element.xpath(_MARKED):
        words = f"{mark.get('rel', '')} {mark.get('itemprop', '')}".lower().split()
        text = (mark.get("href") or mark.get("content") or "".join(mark.itertext())).strip()
        if "license" in words and text:
            yield mark, licence_name(text)


def _linked(element: lxml.etree._Element) -> Iterator[tuple[lxml.etree._Element, str]]:
    """Links to Creative Commons deeds under this one, and what they name."""
    for mark in element.xpath(_LINKED):
        if is_creative_commons(mark.get("href")):
            yield mark, licence_name(mark.get("href"))


def figure_licence(figure: lxml.etree._Element) -> str | None:
    """The figure's own mark: declared, else a link to a Creative Commons deed."""
    return next((name for _, name in (*_declared(figure), *_linked(figure))), None)


def _is_in_figure(mark: lxml.etree._Element) -> bool:
    return next(mark.iterancestors("figure"), None) is not None


def page_licence(tree: lxml.etree._Element) -> str | None:
    """The mark that stands for the whole page: outside every figure; a mere link counts only when the page links to one deed alone."""
    declared = next((name for mark, name in _declared(tree) if not _is_in_figure(mark)), None)
    if declared is not None:
        return declared
    linked = {name for mark, name in _linked(tree) if not _is_in_figure(mark)}
    return linked.pop() if len(linked) == 1 else None

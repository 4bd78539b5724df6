"""Rights: what a picture file says of itself in XMP, IPTC and Exif about who owns it, its licence, and data mining.

Read from the fetched bytes within bounds; nothing it links to is fetched.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import lxml.etree
from PIL import Image, ImageFile, IptcImagePlugin

from unclip_crawl.licences import is_creative_commons, licence_name

XMP_BYTES = 256 * 1024
TEXT_LENGTH = 300
_XMP = re.compile(rb"<x:xmpmeta\b.{0,%d}?</x:xmpmeta>" % XMP_BYTES, re.DOTALL)
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# the property in its namespace, and what we call it
_PROPERTIES = {
    "{http://purl.org/dc/elements/1.1/}rights": "copyright",
    "{http://purl.org/dc/elements/1.1/}creator": "creator",
    "{http://ns.adobe.com/xap/1.0/rights/}WebStatement": "web_statement",
    "{http://ns.adobe.com/xap/1.0/rights/}UsageTerms": "usage_terms",
    "{http://creativecommons.org/ns#}license": "licence",
    "{http://ns.adobe.com/photoshop/1.0/}Credit": "credit",
    "{http://ns.useplus.org/ldf/xmp/1.0/}DataMining": "data_mining",
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType": "source_type",
}
_IPTC = {(2, 116): "copyright", (2, 80): "creator", (2, 110): "credit"}
_EXIF = {0x8298: "copyright", 0x013B: "creator"}


@dataclass(frozen=True)
class Rights:
    """What the file says, by our names (`copyright`, `creator`, `credit`, `usage_terms`, `web_statement`, `licence`, `data_mining`,
    `source_type`), each at most 300 characters."""

    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str | None:
        """All of it as JSON, or None."""
        return json.dumps(self.marks, ensure_ascii=False, sort_keys=True) if self.marks else None

    @property
    def licence(self) -> str | None:
        """The Creative Commons deed that the file names, as SPDX has it, or None."""
        named = (self.marks.get(name, "") for name in ("licence", "web_statement", "usage_terms", "copyright"))
        return next((licence_name(mark) for mark in named if is_creative_commons(mark)), None)

    @property
    def opt_out(self) -> str | None:
        """The data-mining property of PLUS by which the file reserves itself against training, or None."""
        found = re.search(r"DMI-PROHIBITED[A-Z-]*", self.marks.get("data_mining", ""))
        return f"XMP plus:DataMining: {found.group(0)}" if found else None


def _flat(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())[:TEXT_LENGTH]


def _in_xmp(data: bytes) -> Iterator[tuple[str, str]]:
    found = _XMP.search(data)
    if found is None:
        return
    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    try:
        tree = lxml.etree.fromstring(found.group(0), parser)
    except (lxml.etree.XMLSyntaxError, ValueError):
        return
    for element in tree.iter() if tree is not None else ():
        for name, value in element.attrib.items():
            if str(name) in _PROPERTIES:
                yield _PROPERTIES[str(name)], str(value)
        if isinstance(element.tag, str) and element.tag in _PROPERTIES:
            yield _PROPERTIES[element.tag], element.get(f"{_RDF}resource") or " ".join(element.itertext())


def _in_iptc(image: Image.Image) -> Iterator[tuple[str, str]]:
    blocks = (IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None) or {}
    for number, name in _IPTC.items():
        value = blocks.get(number)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, bytes):
                yield name, part[: 4 * TEXT_LENGTH].decode("utf-8", "replace")


def _in_exif(image: Image.Image) -> Iterator[tuple[str, str]]:
    exif = image.getexif()
    for number, name in _EXIF.items():
        if isinstance(exif.get(number), str):
            yield name, exif[number]


def read_rights(data: bytes, image: Image.Image) -> Rights:
    """What the file says in XMP, else in IPTC, else in Exif. `image` is the same file with its header read.

    Blocks that are damaged say nothing; a file's rights never decide whether it can be decoded.
    """
    marks: dict[str, str] = {}
    readers = (lambda: _in_xmp(data), lambda: _in_iptc(image), lambda: _in_exif(image))
    for read in readers:
        try:
            for name, value in read():
                if text := _flat(value):
                    marks.setdefault(name, text)
        except Exception:  # hostile blocks may break a parser in any way; then this block says nothing
            continue
    return Rights(marks)

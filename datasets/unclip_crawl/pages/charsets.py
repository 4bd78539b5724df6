"""Charsets: the bytes of a page as text, by the rules browsers follow (WHATWG Encoding and HTML, "prescan a byte stream")."""

import codecs
import re

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_META = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"'>]+)[\"']", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
PRESCAN = 4096
# NUL ends a page for libxml2, and U+FDD0 is a code point that no text may use
_UNFIT = {0: 0xFFFD, 0xFDD0: None}
# what a page calls its encoding, and what browsers read it as
_LABELS = {
    **dict.fromkeys(("ascii", "us-ascii", "ansi", "iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1"), "cp1252"),
    **dict.fromkeys(("x-cp1252", "windows-1252", "cp819"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk", "gb_2312-80", "x-gbk", "chinese", "csgb2312", "iso-ir-58"), "gb18030"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms_kanji", "csshiftjis"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601", "korean", "windows-949", "ks_c_5601-1989"), "cp949"),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5", "csbig5"), "big5hkscs"),
    **dict.fromkeys(("tis-620", "iso-8859-11", "windows-874", "dos-874"), "cp874"),
    **dict.fromkeys(("iso-8859-9", "latin5", "windows-1254", "l5"), "cp1254"),
    **dict.fromkeys(("x-euc-jp", "euc-jp"), "euc_jp"),
    **dict.fromkeys(("iso-8859-8-i", "csiso88598i", "logical"), "iso8859-8"),
    **dict.fromkeys(("x-mac-cyrillic", "x-mac-ukrainian"), "mac_cyrillic"),
    **dict.fromkeys(("macintosh", "mac", "x-mac-roman"), "mac_roman"),
    **dict.fromkeys(("unicode", "utf8", "unicode-1-1-utf-8", "x-unicode20utf8"), "utf-8"),
    **dict.fromkeys(("utf-16", "utf-16le", "ucs-2", "csunicode"), "utf-16-le"),
    "utf-16be": "utf-16-be",
}


def codec_name(label: str) -> str | None:
    """The codec that reads what browsers read under this label; None when nobody knows it."""
    label = label.strip().lower()
    name = _LABELS.get(label, label)
    try:
        b" ".decode(name, "replace")  # Python's codecs hold things that are no encodings of text, such as base64: this refuses them
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return None


def _declared(body: bytes) -> str | None:
    """What the page's first bytes say of themselves; utf-16 there cannot be true, for the bytes could not have been read."""
    head = _COMMENT.sub(b"", body[:PRESCAN])
    for pattern in (_META, _XML):
        found = pattern.search(head)
        name = codec_name(found.group(1).decode("ascii", "ignore")) if found else None
        if name is not None:
            return "utf-8" if name.startswith("utf-16") else name
    return None


def encoding_of(body: bytes, content_type: str = "") -> str:
    """The page's encoding: byte order mark, else HTTP header, else meta or XML declaration, else UTF-8 if it is that, else cp1252."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return name
    header = _HEADER.search(content_type)
    named = codec_name(header.group(1)) if header else None
    if named is not None:
        return named
    declared = _declared(body)
    if declared is not None:
        return declared
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        return "utf-8" if error.reason == "unexpected end of data" else "cp1252"
    return "utf-8"


def text_of(body: bytes, encoding: str) -> str:
    """The body as text, with what the encoding cannot read replaced; an unknown encoding is read as UTF-8."""
    try:
        text = body.decode(encoding, "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")
    return text.translate(_UNFIT) if "\0" in text or "\ufdd0" in text else text

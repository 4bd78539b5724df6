"""A web in archives: seeded pages with pictures written in every way, in WARC and WAT files (warcio) with the oddities of archives."""

import gzip
import io
import json
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import brotli
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

CHARSETS = (
    *("utf-8", "iso-8859-1", "windows-1252", "windows-1251", "iso-8859-2", "koi8-r", "shift_jis", "euc-jp", "gb2312", "gb18030"),
    *("big5", "euc-kr", "iso-8859-15", "windows-1253", "tis-620", "utf-16"),
)
CODECS = {"utf-16": "utf-16-le", "iso-8859-1": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932", "tis-620": "cp874"}
LETTERS = {
    **dict.fromkeys(("iso-8859-1", "windows-1252", "iso-8859-15"), "größe façade señor"),
    **dict.fromkeys(("windows-1251", "koi8-r"), "красный мяч дома"),
    **dict.fromkeys(("shift_jis", "euc-jp"), "赤い ボール です"),
    **dict.fromkeys(("gb2312", "gb18030"), "红色 的 球"),
    **{"iso-8859-2": "żółty źdźbło", "big5": "紅色 的 球", "euc-kr": "빨간 공", "windows-1253": "κόκκινη μπάλα", "tis-620": "ลูกบอล สีแดง"},
    **{"utf-8": "größe красный 赤い", "utf-16": "größe красный 赤い"},
}
WORDS = (
    "a",
    "red",
    "blue",
    "green",
    "old",
    "new",
    "small",
    "large",
    "house",
    "tree",
    "boat",
    "cat",
    "dog",
    "river",
    "street",
    "light",
    "winter",
)
ENCODINGS = ("", "gzip", "deflate", "br", "gzip of nothing", "chunked", "chunked gzip", "chunked of nothing", "wrong length")


@dataclass(frozen=True)
class Document:
    """One page: its address, its text, how its bytes are encoded and told of, and the pictures whose src a WAT would list."""

    url: str
    text: str
    charset: str
    told_by: str
    encoding: str


def _words(rng: random.Random, count: int, letters: str = "") -> str:
    return " ".join(rng.choices([*WORDS, *letters.split()], k=count))


def _picture(rng: random.Random, number: int, letters: str) -> str:
    """An img in one of the ways it is written."""
    alt, name = _words(rng, 5, letters), f"{number}-{rng.randrange(10**6)}.jpg"
    src = rng.choice([f"pic/{name}", f"/{name}", f"//cdn.example/{name}", f"https://img.example/{name}?a=1&amp;b=2", f"../{name}#part"])
    ways = [
        f'<img src="{src}" alt="{alt}">',
        f"<IMG SRC='{src}' ALT='{alt}' WIDTH=20>",
        f'<img src="{src}" title="{alt}">',
        f'<img src="{src}" alt="  {alt}\n &quot;quoted&quot; &amp; more ">',
        f'<img src="{src}">',
        f'<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-src="{src}" alt="{alt}">',
        f'<img src="/spacer.gif" data-original="{src}" alt="{alt}">',
        f'<img srcset="s{name} 320w, {src} 1280w, m{name} 640w" alt="{alt}">',
        f'<img data-srcset="s{name} 1x, {src} 2x" alt="{alt}">',
        f'<picture><source srcset="{src} 2x, s{name} 1x" type="image/webp"><img alt="{alt}"></picture>',
        f'<figure><a href=x><img src="{src}"></a><figcaption>{alt} <b>{_words(rng, 3)}</b></figcaption></figure>',
        f'<noscript><img src="{src}" alt="{alt}"></noscript>',
        f'<img src="data:image/png;base64,AAAA" alt="{alt}">',
        f'<img alt="{alt}">',
    ]
    return rng.choice(ways)


def document(rng: random.Random, url: str, paragraphs: int = 60, charset: str = "utf-8") -> Document:
    """A page of about 300 bytes per paragraph, with a picture to every fifth one."""
    letters = LETTERS[charset]
    told_by = "bom" if charset == "utf-16" else rng.choice(["header", "meta", "http-equiv", "xml"])
    head = {"meta": f'<meta charset="{charset}">', "http-equiv": f'<meta http-equiv=Content-Type content="text/html; charset={charset}">'}
    base = rng.choice(["", "", "", '<base href="/below/">', '<base href="https://base.example/x/">'])
    body = "\n".join(
        f"<div class=c{number}><p>{_words(rng, 45, letters)} <a href='/{number}'>{_words(rng, 3)}</a></p>"
        + (_picture(rng, number, letters) if number % 5 == 0 else "")
        + ("<script>var a = '<img src=never.png>';</script>" if number % 20 == 0 else "</div>")
        for number in range(paragraphs)
    )
    start = f'<?xml version="1.0" encoding="{charset}"?>\n' if told_by == "xml" else ""
    head_text = f"{head.get(told_by, '')}<title>{_words(rng, 4)}</title>{base}"
    text = f"{start}<!DOCTYPE html>\n<html lang=en><head>{head_text}</head><body>{body}\n</body></html>"
    return Document(url, text, charset, told_by, rng.choice(ENCODINGS))


def _chunks(data: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(data[at : at + 4000]), data[at : at + 4000]) for at in range(0, len(data), 4000)) + b"0\r\n\r\n"


def _answer(page: Document) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body as a server sent them."""
    body = page.text.encode(CODECS.get(page.charset, page.charset), "xmlcharrefreplace")
    body = b"\xff\xfe" + body if page.told_by == "bom" else body
    kind = "application/xhtml+xml" if page.told_by == "xml" else "text/html"
    headers = [("Content-Type", f"{kind}; charset={page.charset}" if page.told_by == "header" else kind)]
    if page.encoding.endswith("of nothing"):
        return [*headers, ("Transfer-Encoding", "chunked") if "chunked" in page.encoding else ("Content-Encoding", "gzip")], body
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "br": lambda data: brotli.compress(data, quality=3)}
    for coding in page.encoding.split()[::-1] if page.encoding != "wrong length" else ():
        headers.append(("Transfer-Encoding", "chunked") if coding == "chunked" else ("Content-Encoding", coding))
        body = _chunks(body) if coding == "chunked" else packed[coding](body)
    return [*headers, ("Content-Length", str(len(body) // 3 if page.encoding == "wrong length" else len(body)))], body


def warc_record(page: Document) -> bytes:
    """The page's record by warcio, as plain bytes."""
    headers, body = _answer(page)
    answer = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1")
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=False)
    writer.write_record(writer.create_warc_record(page.url, "response", payload=io.BytesIO(body), http_headers=answer))
    return buffer.getvalue()


def other_records(url: str) -> bytes:
    """What stands between pages: a request, a revisit, an answer that is no page, a page that is not there."""
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=False)
    asked = StatusAndHeaders("GET / HTTP/1.1", [("Host", "h")], is_http_request=True)
    writer.write_record(writer.create_warc_record(url, "request", http_headers=asked))
    writer.write_record(writer.create_revisit_record(url, "sha1:AAAA", url, "2026-01-01T00:00:00Z"))
    for status, kind in (("200 OK", "image/png"), ("404 Not Found", "text/html")):
        answer = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
        body = io.BytesIO(b"<img src=/never.png alt=never>")
        writer.write_record(writer.create_warc_record(url, "response", payload=body, http_headers=answer))
    return buffer.getvalue()


def wrong_length(record: bytes, by: int) -> bytes:
    """The record with a Content-Length that is wrong by so much."""
    return re.sub(rb"\r\nContent-Length: (\d+)", lambda found: b"\r\nContent-Length: %d" % (int(found[1]) + by), record, count=1)


def wat_record(page: Document, images: list[tuple[str, str]], base: str) -> bytes:
    """The page as a WAT has it: the src and alt of its pictures."""
    links = [{"path": "IMG@/src", "url": src, "alt": alt} for src, alt in images]
    metadata = {
        "Links": [*links, {"path": "A@/href", "url": "/1", "text": "x"}],
        "Head": {"Title": "t", **({"Base": base} if base else {})},
    }
    answer = {"Response-Message": {"Status": "200"}, "Headers": {"Content-Type": "text/html"}, "HTML-Metadata": metadata}
    known = {"WARC-Header-Metadata": {"WARC-Target-URI": page.url}, "Payload-Metadata": {"HTTP-Response-Metadata": answer}}
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=False)
    payload = io.BytesIO(json.dumps({"Envelope": known}).encode())
    writer.write_record(writer.create_warc_record(page.url, "metadata", payload=payload, warc_content_type="application/json"))
    return buffer.getvalue()


def big_file(path: Path, seed: int, size: int) -> Iterator[tuple[str, str]]:
    """A plain WARC of at least this size, all pages; gives address and text of each page. The same 300 texts under ever new addresses."""
    rng = random.Random(seed)
    pool = [document(rng, "http://h/", charset="utf-8") for _ in range(300)]
    with path.open("wb") as file:
        number = 0
        while file.tell() < size:
            page = pool[number % len(pool)]
            page = Document(f"http://h{seed}.example/{number}/page.html", page.text, page.charset, page.told_by, "")
            file.write(warc_record(page))
            yield page.url, page.text
            number += 1

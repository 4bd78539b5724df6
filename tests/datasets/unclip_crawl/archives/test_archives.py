"""Tests of web archives: what is in them is found, however it was packed, and damage costs only the record it is in."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastwarc.stream_io import BrotliWriter
from pyarrow.parquet import read_table

from unclip_crawl.archives.extract import extract
from unclip_crawl.archives.read import Tally, pages_of
from unclip_crawl.pages.charsets import encoding_of, text_of
from unclip_crawl.sources.lists import pairs_from_list
from unclip_crawl.sources.streams import Source
from unclip_pairs.errors import UserError

HTML = ("Content-Type", "text/html; charset=utf-8")


def read(data: bytes) -> tuple[list[tuple[str, str]], Tally]:
    """Address and caption of each pair, and the tally."""
    tally = Tally()
    pages = list(pages_of(Source("a.warc", io.BytesIO(data)), tally=tally))
    return [(pair.url.rpartition("/")[2], pair.caption) for page in pages for pair in page.pairs], tally


def chunked(data: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(data[at : at + 7]), data[at : at + 7]) for at in range(0, len(data), 7)) + b"0\r\n\r\n"


def brotlied(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with BrotliWriter(buffer) as writer:
        writer.write(data)
    return buffer.getvalue()


def deflated_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PAGE = b"<p>before <img src=a.png alt='a ball'> after"
BODIES: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "plain": ([], PAGE),
    "chunked": ([("Transfer-Encoding", "chunked")], chunked(PAGE)),
    "chunked gzip": ([("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")], chunked(gzip.compress(PAGE))),
    "named chunked and is not": ([("Transfer-Encoding", "chunked")], PAGE),
    "named gzip and is not": ([("Content-Encoding", "gzip")], PAGE),
    "deflate": ([("Content-Encoding", "deflate")], zlib.compress(PAGE)),
    "deflate without its header": ([("Content-Encoding", "deflate")], deflated_raw(PAGE)),
    "brotli": ([("Content-Encoding", "br")], brotlied(PAGE)),
    "gzip cut short": ([("Content-Encoding", "gzip")], gzip.compress(PAGE + b" " * 5000)[:-9]),
    "a wrong HTTP length": ([("Content-Length", "7")], PAGE),
    "an encoding nobody knows": ([("Content-Encoding", "rot13")], PAGE),
}


@pytest.mark.parametrize("how", BODIES)
def test_a_body_is_read_however_it_was_sent(how: str, warc_record: Callable[..., bytes]) -> None:
    headers, body = BODIES[how]
    assert read(warc_record("http://h/1.html", body, [HTML, *headers]))[0] == [("a.png", "a ball")]


def numbered(warc_record: Callable[..., bytes], count: int, **more: Any) -> list[bytes]:
    return [warc_record(f"http://h/{n}.html", b"<img src=%d.png alt=x>" % n + b" word" * 600, [HTML], **more) for n in range(count)]


@pytest.mark.parametrize("pack", [lambda record: record, gzip.compress], ids=["plain", "gzip per record"])
@pytest.mark.parametrize("by", [-40, 5, 300, 100_000])
def test_a_wrong_record_length_costs_no_other_record(pack: Callable[[bytes], bytes], by: int, warc_record: Callable[..., bytes]) -> None:
    records = numbered(warc_record, 6)
    for place in (1, 4):
        records[place] = numbered(warc_record, 6, length=by)[place]
    found, tally = read(b"".join(map(pack, records)))
    assert [name for name, _ in found] == [f"{n}.png" for n in range(6)]
    assert sum(tally.damage.values()) >= 2


def test_damage_is_counted_by_name_and_reading_goes_on_behind_it(warc_record: Callable[..., bytes]) -> None:
    members = [gzip.compress(record) for record in numbered(warc_record, 5)]
    hurt = bytearray(members[2])
    hurt[40:80] = bytes(40)
    found, tally = read(b"".join([*members[:2], bytes(hurt), *members[3:]]))
    assert [name for name, _ in found if name != "2.png"] == ["0.png", "1.png", "3.png", "4.png"]
    assert tally.damage["damaged_gzip"] == 1
    assert "damage: " in tally.summary()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "no_record"),
        (b"no archive at all\n" * 99, "damaged_header"),
        (gzip.compress(b"<html>" * 99, mtime=0), "damaged_header"),
        (b"\x28\xb5\x2f\xfd rest", "zstd_unsupported"),
        (b"\x1f\x8b\x08\x00 but no gzip", "damaged_gzip"),
        (b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99999999999999999999999\r\n\r\n", ""),
        (b"WARC/1.0\r\nContent-Length: -5\r\n\r\n\r\n\r\n", ""),
        (b"WARC/1.0\r\n" + b"A" * 100_000, ""),
    ],
)
def test_what_is_no_archive_gives_nothing_but_a_name(data: bytes, name: str) -> None:
    found, tally = read(data)
    assert found == []
    assert not name or name in tally.damage


@pytest.mark.parametrize("cut", [1, 30, 400, 1500])
def test_a_file_that_was_cut_gives_what_lies_before(cut: int, warc_record: Callable[..., bytes]) -> None:
    plain = b"".join(numbered(warc_record, 4))
    for data in (plain, gzip.compress(plain)):
        found, tally = read(data[:-cut])
        assert [name for name, _ in found][:3][: 3 if data is plain else 0] == ["0.png", "1.png", "2.png"][: 3 if data is plain else 0]
        assert tally.damage


def test_revisits_requests_other_types_and_statuses_hold_no_page(warc_record: Callable[..., bytes]) -> None:
    others = warc_record("http://h/2", PAGE, [("Content-Type", "image/png")]) + warc_record("http://h/3", PAGE, [HTML], kind="revisit")
    found, tally = read(warc_record("http://h/1", PAGE, []) + others)
    assert (found, tally.records) == ([], {"response": 2, "revisit": 1})
    assert read(warc_record("http://h/1", b"<!DOCTYPE html>" + PAGE, []))[0] == [("a.png", "a ball")]


def test_opt_outs_of_archived_headers_and_pages_stand_at_each_pair(warc_record: Callable[..., bytes]) -> None:
    tags = [("X-Robots-Tag", "otherbot: noindex"), ("X-Robots-Tag", "unclip-crawler: noai")]
    data = warc_record("http://h/1", PAGE, [HTML, *tags]) + warc_record(
        "http://h/2", b"<meta name=tdm-reservation content=1>" + PAGE, [HTML]
    )
    data += warc_record("http://h/3", PAGE, [HTML, tags[0]])
    pages = list(pages_of(Source("a", io.BytesIO(data))))
    assert [pair.context.opt_out for page in pages for pair in page.pairs] == ["X-Robots-Tag: noai", "meta tdm-reservation: 1", None]


def metadata(**changes: Any) -> bytes:
    """A WAT record."""
    html = {
        "Head": {"Base": "http://base.example/x/", "Metas": [{"http-equiv": "Content-Language", "content": "fr"}]},
        "Links": [
            {"path": "IMG@/src", "url": "a.png", "alt": " a \n ball ", "title": "t"},
            {"path": "IMG@/src", "url": "data:image/png;base64,AA"},
            {"path": "A@/href", "url": "https://creativecommons.org/licenses/by/4.0/"},
        ],
    }
    answer = {"Response-Message": {"Status": "200"}, "Headers": {"x-robots-tag": "noai"}, "HTML-Metadata": html} | changes
    envelope = {"WARC-Header-Metadata": {"WARC-Target-URI": "http://h/1"}, "Payload-Metadata": {"HTTP-Response-Metadata": answer}}
    block = json.dumps({"Envelope": envelope}).encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: http://h/1\r\nContent-Type: application/json\r\nContent-Length: {len(block)}"
    )
    return head.encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def test_a_wat_gives_pairs_with_base_language_licence_and_opt_out() -> None:
    tally = Tally()
    (page,) = pages_of(Source("a", io.BytesIO(metadata())), tally=tally)
    (pair,) = page.pairs
    assert (pair.url, pair.caption, pair.licence) == ("http://base.example/x/a.png", "a ball", "CC-BY-4.0")
    assert (pair.context.title, pair.context.language, pair.context.opt_out) == ("t", "fr", "X-Robots-Tag: noai")
    assert tally.embedded == 1


@pytest.mark.parametrize("changes", [{"HTML-Metadata": []}, {"Response-Message": {"Status": "404"}}, {"HTML-Metadata": {"Links": "x"}}])
def test_a_wat_record_of_another_shape_gives_nothing(changes: dict[str, Any]) -> None:
    assert read(metadata(**changes))[0] == []


@pytest.mark.parametrize(
    ("body", "header", "encoding"),
    [
        (b"\xef\xbb\xbfx", "text/html; charset=latin1", "utf-8"),
        (b"\xff\xfex\0", "", "utf-16-le"),
        (b"<meta charset=koi8-r>", "text/html; charset=windows-1251", "cp1251"),
        (b"<meta charset='x-sjis'>", "text/html", "cp932"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=gb2312'>", "", "gb18030"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?>", "", "iso8859-2"),
        (b"<!-- <meta charset=big5> --><meta charset=utf-16>", "", "utf-8"),
        (b"<meta charset=base64>\xe9 x", "text/html; charset=nonsense", "cp1252"),
        ("<p>größe".encode(), "", "utf-8"),
        ("<p>größe".encode("latin-1"), "", "cp1252"),
    ],
)
def test_the_encoding_is_the_one_a_browser_takes(body: bytes, header: str, encoding: str) -> None:
    assert encoding_of(body, header) == encoding
    assert "\0" not in text_of(body, encoding)


def test_extraction_writes_a_list_that_a_crawl_reads_back(tmp_path: Path, warc_record: Callable[..., bytes]) -> None:
    page = b"<html lang=de><p>Vorher <figure><img src=b.png title=t><figcaption>unten</figcaption></figure> nachher"
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(warc_record("http://h/1", page, [HTML, ("X-Robots-Tag", "noai")])))
    seen: list[int] = []
    out = tmp_path / "pairs.parquet"
    tallies = extract([str(tmp_path / "a.warc.gz")], out, progress=lambda done, total, message="": seen.append(done))
    assert [tally.pairs for tally in tallies.values()] == [1]
    assert seen[-1] == (tmp_path / "a.warc.gz").stat().st_size
    (pair,) = pairs_from_list(out)
    around = pair.context
    assert (pair.url, pair.caption, pair.page_url) == ("http://h/b.png", "t", "http://h/1")
    assert (around.figcaption, around.text_before, around.text_after) == ("unten", "Vorher", "unten nachher")
    assert (around.language, around.opt_out) == ("de", "X-Robots-Tag: noai")
    assert read_table(out)["archive"].to_pylist() == [str(tmp_path / "a.warc.gz")]


def test_extraction_overwrites_nothing_and_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "junk.warc").write_bytes(b"junk")
    (tmp_path / "there.parquet").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"there\.parquet is there already"):
        extract([str(tmp_path / "junk.warc")], tmp_path / "there.parquet")
    with pytest.raises(UserError, match="nothing could be read"):
        extract([str(tmp_path / "junk.warc")], tmp_path / "out.parquet")
    with pytest.raises(UserError, match="is not a file"):
        extract([str(tmp_path / "gone.warc")], tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junk.warc", "there.parquet"]

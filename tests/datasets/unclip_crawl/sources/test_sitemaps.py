"""Tests of sitemaps and what else is read with bounds before a crawl trusts it: rights in pictures, members of tars."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from unclip_crawl.pictures.rights import Rights, read_rights
from unclip_crawl.sources.sitemaps import MAX_BYTES, MAX_ENTRIES, maps_in_robots, read_sitemap
from unclip_crawl.sources.tar_shards import Shard


def test_a_sitemap_gives_pages_with_their_pictures() -> None:
    body = b"""<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:i="http://www.google.com/schemas/sitemap-image/1.1">
      <url><loc> http://h/1?a=1&amp;b=2 </loc><i:image><i:loc>http://c/a.png</i:loc><i:title>t</i:title></i:image>
      <i:image><i:loc>http://c/b.png</i:loc><i:caption> a  ball </i:caption></i:image></url><url><loc>ftp://h/2</loc></url></urlset>"""
    found = read_sitemap(body)
    assert [url for url, _ in found.pages] == ["http://h/1?a=1&b=2"]
    assert [(pair.url, pair.caption) for pair in found.pages[0][1]] == [("http://c/a.png", "t"), ("http://c/b.png", "a ball")]
    assert read_sitemap(gzip.compress(body)).pages == found.pages


def test_an_index_a_text_and_a_robots_txt_name_addresses() -> None:
    assert read_sitemap(b"<sitemapindex><sitemap><loc>http://h/s.xml</loc></sitemap></sitemapindex>").maps == ["http://h/s.xml"]
    assert [url for url, _ in read_sitemap(b"http://h/1\nnonsense\nhttps://h/2\n").pages] == ["http://h/1", "https://h/2"]
    assert maps_in_robots(b"User-agent: *\nSITEMAP : http://h/s.xml\nsitemap: nonsense").maps == ["http://h/s.xml"]


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b"", "no entries"),
        (b"<html><p>x</p></html>", "no entries"),
        (b"\x1f\x8b\x08 no gzip", "damaged gzip"),
        (gzip.compress(b"<urlset><url><loc>http://h/1</loc></url></urlset>", mtime=0)[:-12], "truncated gzip"),
        (gzip.compress(b"<urlset>" + b" " * (MAX_BYTES + 10), mtime=0), "cut at 50 MB"),
        (b"<urlset>" + b"<url><loc>http://h/1</loc></url>" * (MAX_ENTRIES + 1), "more than"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset><url><loc>http://h/&e;</loc></url></urlset>', ""),
    ],
)
def test_a_sitemap_that_is_none_or_too_large_says_so(body: bytes, flaw: str) -> None:
    found = read_sitemap(body)
    assert flaw in found.flaw
    assert "root" not in str(found.pages)


def jpeg(xmp: str = "") -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x8298] = "(c) somebody"
    Image.new("RGB", (32, 32)).save(buffer, "JPEG", exif=exif)
    data = buffer.getvalue()
    if not xmp:
        return data
    block = b"http://ns.adobe.com/xap/1.0/\0" + f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{xmp}</x:xmpmeta>'.encode()
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]  # Pillow writes XMP from 11 on only


def test_the_rights_in_a_picture_are_read_and_its_reservation_obeyed() -> None:
    xmp = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:cc="http://creativecommons.org/ns#"
      xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
      <cc:license rdf:resource="http://creativecommons.org/licenses/by/4.0/"/><plus:DataMining>DMI-PROHIBITED-AIMLTRAINING</plus:DataMining>
      <dc:creator><rdf:Seq><rdf:li>A. Painter</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF>"""
    data = jpeg(xmp)
    rights = read_rights(data, Image.open(io.BytesIO(data)))
    assert (rights.licence, rights.marks["creator"], rights.marks["copyright"]) == ("CC-BY-4.0", "A. Painter", "(c) somebody")
    assert rights.opt_out == "XMP plus:DataMining: DMI-PROHIBITED-AIMLTRAINING"


def test_rights_that_are_damaged_or_free_forbid_nothing() -> None:
    data = jpeg("<broken <xml")
    assert read_rights(data, Image.open(io.BytesIO(data))).opt_out is None
    assert Rights({"data_mining": "http://ns.useplus.org/ldf/vocab/DMI-ALLOWED"}).opt_out is None
    assert Rights().text is None


def test_a_tar_may_not_announce_endless_headers_or_lead_out(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 10**12
    (tmp_path / "bomb.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 10_000)
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("/b.png", tarfile.REGTYPE), ("c/../../d.png", tarfile.REGTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    bomb, links = Shard(str(tmp_path / "bomb.tar")), Shard(str(tmp_path / "links.tar"))
    assert list(bomb.samples()) == list(links.samples()) == []
    assert (bomb.damage, links.damage) == ({"damaged_tar": 1}, {"unsafe_member": 3})

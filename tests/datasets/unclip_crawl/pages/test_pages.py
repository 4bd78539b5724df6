"""Tests of pages: pictures, captions, licences and links of HTML as it is written."""

import pytest

from unclip_crawl.licences import licence_name
from unclip_crawl.pages.html import read_page

URL = "http://h.example/dir/page.html"


def pairs(html: str) -> list[tuple[str, str, str | None]]:
    return [(pair.url, pair.caption, pair.licence) for pair in read_page(html.encode(), URL, "unclip-crawler", "utf-8").pairs]


def test_the_caption_is_alt_else_title_else_figcaption() -> None:
    html = """<img src=a.png alt="An  alt\n text" title=t><img src=b.png title="A title"><img src=c.png alt="  ">
      <figure><div><img src=d.png></div><figcaption>A <b>figure</b> caption</figcaption></figure>"""
    assert [caption for _, caption, _ in pairs(html)] == ["An alt text", "A title", "", "A figure caption"]


def test_addresses_are_resolved_against_page_and_base() -> None:
    assert [url for url, _, _ in pairs("<img src=/a.png#x><img src=../b.png><img src=//c.example/d.png>")] == [
        "http://h.example/a.png",
        "http://h.example/b.png",
        "http://c.example/d.png",
    ]
    assert pairs("<base href='http://cdn.example/x/'><img src=a.png>")[0][0] == "http://cdn.example/x/a.png"


def test_lazy_and_responsive_pictures_are_found_and_embedded_ones_left_out() -> None:
    html = """<img data-src=lazy.png><img src="data:image/gif;base64,R0" data-original=real.png>
      <img srcset="s.png 1x, l.png 2x"><img src="data:image/png;base64,AA"><img>"""
    assert [url.rpartition("/")[2] for url, _, _ in pairs(html)] == ["lazy.png", "real.png", "l.png"]


def test_the_licence_is_the_figures_own_else_the_pages() -> None:
    html = """<link rel="stylesheet license" href="https://creativecommons.org/licenses/by-sa/4.0/deed.de">
      <figure><img src=a.png alt=a><figcaption><a rel=license href="https://opensource.org/licenses/MIT">MIT</a></figcaption></figure>
      <img src=b.png alt=b>"""
    assert [licence for _, _, licence in pairs(html)] == ["MIT", "CC-BY-SA-4.0"]


def test_an_unstated_licence_is_null_and_a_figures_mark_is_not_the_pages() -> None:
    html = "<figure><img src=a.png><a rel=license href=https://x.example/own>own</a></figure><img src=b.png>"
    assert [licence for _, _, licence in pairs(html)] == ["https://x.example/own", None]


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        ("http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/3.0/", "CC-BY-NC-ND-3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("https://spdx.org/licenses/OFL-1.1.html", "OFL-1.1"),
        ("https://example.org/terms", "https://example.org/terms"),
    ],
)
def test_known_licence_addresses_get_their_spdx_name(mark: str, name: str) -> None:
    assert licence_name(mark) == name


def test_links_are_kept_once_and_nofollow_is_heard() -> None:
    html = "<a href=a.html>1</a><a href=a.html#part>2</a><a href='mailto:x@y'>3</a><a rel=nofollow href=b.html>4</a><a href='http://[bad'>5</a>"
    assert read_page(html.encode(), URL, "unclip-crawler").links == ("http://h.example/dir/a.html",)
    assert read_page(b"<meta name=robots content=nofollow><a href=a.html>1</a>", URL, "unclip-crawler").links == ()


def test_a_page_that_opts_out_says_so() -> None:
    assert read_page(b"<meta name='Robots' content='noai'><img src=a.png>", URL, "unclip-crawler").opt_out == "meta robots: noai"
    assert read_page(b"<meta name=description content='noai'>", URL, "unclip-crawler").opt_out is None


@pytest.mark.parametrize("body", [b"", b"   ", b"\0\1", b"<!-- only -->", b"<img", b"\xff\xfe<\0", b"<?xml encoding='x'?><img src=a.png>"])
def test_broken_pages_give_what_they_have_and_never_an_error(body: bytes) -> None:
    assert read_page(body, URL, "unclip-crawler").links == ()


def test_the_declared_encoding_is_used() -> None:
    assert read_page("<img src=a.png alt='größe'>".encode("latin-1"), URL, "unclip-crawler", "latin-1").pairs[0].caption == "größe"
    assert read_page("<img src=a.png alt='größe'>".encode(), URL, "unclip-crawler", "no-such-encoding").links == ()

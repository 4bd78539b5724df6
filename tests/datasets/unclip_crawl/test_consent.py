"""Tests of consent: names we may go by, opt-out marks and robots.txt."""

import pytest

from unclip_crawl.addresses import why_invalid, why_refused
from unclip_crawl.consent import (
    MARKS,
    checked_marks,
    follows_links,
    opt_out_in_headers,
    opt_out_in_meta,
    product_token,
    read_reservations,
    read_robots,
    user_agent_header,
)
from unclip_crawl.settings import CrawlSettings
from unclip_pairs.errors import UserError

TOKEN = "unclip-crawler"


def test_the_user_agent_names_the_crawler_and_whom_to_ask() -> None:
    assert user_agent_header("my-lab/1.0", "crawl@example.org") == "my-lab/1.0 (+crawl@example.org)"
    assert product_token("My-Lab/1.0") == "my-lab"


@pytest.mark.parametrize("name", ["", "  ", "Mozilla/5.0", "CCBot/2.0", "my-googlebot/1.0", "no version", "x/1", "curl/8.0", "a\nb/1.0"])
def test_a_blank_or_borrowed_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="user_agent"):
        user_agent_header(name, "crawl@example.org")


@pytest.mark.parametrize("contact", ["", "nobody", "http://", "a b@c", "x@y\r\nEvil: 1"])
def test_a_contact_that_reaches_nobody_is_refused(contact: str) -> None:
    with pytest.raises(UserError, match="contact"):
        user_agent_header("my-lab/1.0", contact)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["noai"], "X-Robots-Tag: noai"),
        (["nofollow, NoImageAI"], "X-Robots-Tag: noimageai"),
        (["noindex"], "X-Robots-Tag: noindex"),
        (["none"], "X-Robots-Tag: none"),
        (["noml"], "X-Robots-Tag: noml"),
        (["unclip-crawler: noai"], "X-Robots-Tag: noai"),
        (["googlebot: noai"], None),
        (["googlebot: noarchive, unclip-crawler: noai"], "X-Robots-Tag: noai"),
        (["unclip-crawler: all, googlebot: noai"], None),
        (["all"], None),
        (["nofollow"], None),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], None),
        (["max-image-preview: large", "noai"], "X-Robots-Tag: noai"),
        ([], None),
    ],
)
def test_header_opt_outs_are_heard(tags: list[str], expected: str | None) -> None:
    assert opt_out_in_headers(tags, [], TOKEN) == expected


def test_a_tdm_reservation_is_an_opt_out() -> None:
    assert opt_out_in_headers([], ["1"], TOKEN) == "tdm-reservation: 1"
    assert opt_out_in_headers([], ["0"], TOKEN) is None
    assert opt_out_in_meta([("tdm-reservation", "1")], TOKEN) == "meta tdm-reservation: 1"


def test_meta_opt_outs_are_heard_when_they_concern_us() -> None:
    assert opt_out_in_meta([("ROBOTS", "index, noai")], TOKEN) == "meta robots: noai"
    assert opt_out_in_meta([(TOKEN, "noimageai")], TOKEN) == "meta unclip-crawler: noimageai"
    assert opt_out_in_meta([("googlebot", "noai"), ("robots", "all")], TOKEN) is None
    assert not follows_links([("robots", "nofollow")], TOKEN)
    assert follows_links([("robots", "noai")], TOKEN)


def test_the_list_of_marks_is_shortened_only_for_a_written_reason() -> None:
    with pytest.raises(UserError, match="leaves out noindex, tdm-reservation"):
        checked_marks([mark for mark in MARKS if mark not in ("noindex", "tdm-reservation")], "")
    with pytest.raises(UserError, match="marks_reason"):
        checked_marks([], "because")
    reason = "our own site, noindex keeps its drafts out of search"
    kept = tuple(mark for mark in MARKS if mark != "noindex")
    settings = CrawlSettings(batch="a", contact="a@example.org", folders=("f",), marks=kept, marks_reason=reason)
    assert (settings.lasting()["marks"], settings.lasting()["marks_reason"]) == (list(kept), reason), "the manifest keeps both"
    assert opt_out_in_headers(["noindex"], ["1"], TOKEN, kept) == "tdm-reservation: 1"
    assert checked_marks([*MARKS, "NoCache"], "")[-1] == "nocache", "more marks need no reason"


def test_the_longest_location_of_tdmrep_json_decides() -> None:
    body = b'[{"location": "/", "tdm-reservation": 1}, {"location": "/free/*.png$", "tdm-reservation": 0}, {"location": 5}, 7]'
    found = read_reservations(200, body)
    assert found.why_reserved("http://h/a.png") is not None
    assert found.why_reserved("http://h/free/a.png") is None
    assert found.why_reserved("http://h/free/a.png?v=1") is not None
    for status, other in ((404, body), (200, b"<html>"), (200, b"[" * 100_000), (200, b"\xff")):
        assert read_reservations(status, other).why_reserved("http://h/a.png") is None


def test_robots_rules_follow_rfc_9309() -> None:
    body = b"User-agent: *\nDisallow: /private/\nCrawl-delay: 3\n\nUser-agent: unclip-crawler\nDisallow: /no-us/\n"
    rules = read_robots(200, body, TOKEN)
    assert rules.why_denied("http://h/no-us/a.png") is not None
    assert rules.why_denied("http://h/private/a.png") is None, "a group of our own replaces the general one"
    assert read_robots(200, body, "other").delay_s() == 3
    assert read_robots(404, b"", TOKEN).why_denied("http://h/x") is None
    assert read_robots(503, b"", TOKEN).why_denied("http://h/x") == "robots.txt answered 503"
    assert read_robots(200, b"\xff\xfe\x00garbage", TOKEN).why_denied("http://h/x") is None


@pytest.mark.parametrize(
    "host",
    [
        *("10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1"),
        *("fe80::1", "fc00::1", "::", "::ffff:10.0.0.1"),
    ],
)
def test_private_addresses_are_refused_even_where_loopback_is_allowed(host: str) -> None:
    assert why_refused(host, allow_loopback=True) is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"])
def test_loopback_is_refused_in_every_spelling_unless_allowed(host: str) -> None:
    assert why_refused(host, allow_loopback=False) is not None
    assert why_refused(host, allow_loopback=True) is None


def test_public_addresses_pass() -> None:
    assert why_refused("93.184.216.34", allow_loopback=False) is None
    assert why_refused("2606:2800:220:1:248:1893:25c8:1946", allow_loopback=False) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.png", "ftp://h/a", "http://", "http://[::1", "http://h:99999/a", "http://u:p@h/a", "http://h/\0a"),
        "http://h/" + "a" * 5000,
    ],
)
def test_what_is_no_address_is_told_apart(url: str) -> None:
    assert why_invalid(url) is not None
    assert why_invalid("https://h.example/a%20b.png?x=1") is None

"""WAT: the pairs of a page in Common Crawl's metadata records (JSON), which hold its links but not its text.

So there is alt and title, but no figure's caption, no surroundings and no language but the declared one.
"""

import json
from collections.abc import Collection, Iterator, Mapping

from unclip_crawl.consent import MARKS, opt_out_in_headers, opt_out_in_meta
from unclip_crawl.languages import tag_of
from unclip_crawl.licences import is_creative_commons, licence_name
from unclip_crawl.pages.html import CAPTION_LENGTH, NOT_FETCHED, Page, joined, largest_of
from unclip_pairs.schema import Context, Pair, make_pair

Json = Mapping[str, object]


def _at(value: object, *names: str) -> object:
    """What lies at the end of these names; None when the way breaks off."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _listed(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return " ".join(value.split())[:CAPTION_LENGTH] if isinstance(value, str) else ""


def _header(headers: object, name: str) -> list[str]:
    """The values of a header, whose name may be written in any way."""
    if not isinstance(headers, dict):
        return []
    values = [value for known, value in headers.items() if str(known).lower() == name]
    return [str(text) for value in values for text in (value if isinstance(value, list) else [value])]


def _licence(links: list[Json]) -> str | None:
    """The page's rel=license, else the one Creative Commons deed that it links to."""
    declared = (_text(link.get("url")) for link in links if "license" in str(link.get("rel", "")).lower().split())
    found = next((mark for mark in declared if mark), None)
    if found is not None:
        return licence_name(found)
    linked = {licence_name(url) for link in links if is_creative_commons(url := _text(link.get("url")))}
    return linked.pop() if len(linked) == 1 else None


def _addresses(links: list[Json]) -> Iterator[tuple[str, Json]]:
    """The pictures among the links, each with its address as written."""
    for link in links:
        path, url = str(link.get("path", "")), str(link.get("url", "")).strip()
        if path.startswith("IMG@/") and url:
            yield (largest_of(url) if path.endswith("srcset") else url), link


def _pairs(html: Json, url: str, language: str | None, opt_out: str | None) -> Iterator[Pair | None]:
    """The pairs; None for a picture that lies in the page itself."""
    links = _listed(html.get("Links"))
    written = _text(_at(html, "Head", "Base"))
    base = joined(url, written) if written and not written.lower().startswith(NOT_FETCHED) else url
    licence = _licence([*_listed(_at(html, "Head", "Link")), *links])
    for address, link in _addresses(links):
        if address.lower().startswith(NOT_FETCHED):
            yield None
            continue
        alt, title = _text(link.get("alt")), _text(link.get("title"))
        yield make_pair(
            joined(base, address), alt or title, url, licence, Context(alt=alt, title=title, language=language, opt_out=opt_out)
        )


def read_metadata(payload: bytes, token: str, marks: Collection[str] = MARKS) -> Page | None:
    """The page that a WAT record is about; None when it is about no page (a request, a picture). `ValueError` when it is no JSON."""
    try:
        envelope = _at(json.loads(payload), "Envelope")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    answer = _at(envelope, "Payload-Metadata", "HTTP-Response-Metadata")
    html, url = _at(answer, "HTML-Metadata"), _at(envelope, "WARC-Header-Metadata", "WARC-Target-URI")
    if not isinstance(html, dict) or not isinstance(url, str) or str(_at(answer, "Response-Message", "Status") or "200") != "200":
        return None
    headers, metas = _at(answer, "Headers"), _listed(_at(html, "Head", "Metas"))
    named = [(str(meta.get("name", "")), str(meta.get("content", ""))) for meta in metas]
    equivalent = [str(meta.get("content", "")) for meta in metas if str(meta.get("http-equiv", "")).lower() == "content-language"]
    language = next((tag for value in (*equivalent, *_header(headers, "content-language")) if (tag := tag_of(value))), None)
    from_headers = opt_out_in_headers(_header(headers, "x-robots-tag"), _header(headers, "tdm-reservation"), token, marks)
    opt_out = from_headers or opt_out_in_meta(named, token, marks)
    found = list(_pairs(html, url, language, opt_out))
    pairs = {pair.key: pair for pair in reversed(found) if pair is not None}
    return Page(url, tuple(reversed(pairs.values())), (), opt_out, found.count(None))

"""Pages of the starter site: galleries of figures, marked up in the several ways that real pages are."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from unclip_starter.concepts import order
from unclip_starter.planting import PER_PAGE, Figure, GroundTruth, Route

PAGES_PER_GALLERY = 5
MAIN, ANNEX = "main", "annex"
# the annex is a small host that asks for a pause between requests
ROBOTS = {MAIN: "User-agent: *\nDisallow: /private/\n", ANNEX: "User-agent: *\nCrawl-delay: 0.2\n"}
SPACER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="


@dataclass(frozen=True, kw_only=True)
class SitePage:
    """One gallery page; `licence` stands in its head for all figures that state none themselves."""

    path: str
    title: str
    figures: tuple[Figure, ...]
    host: str = MAIN
    licence: str | None = None
    robots: str | None = None
    next_path: str | None = None
    base: str | None = None


def galleries(figures: Sequence[Figure], seed: int) -> list[SitePage]:
    """Pages of twenty in a shuffled order; every five pages are one gallery whose pages link to the next."""
    shuffled = sorted(figures, key=lambda one: order(seed, "page", one.url_path))
    chunks = [tuple(shuffled[start : start + PER_PAGE]) for start in range(0, len(shuffled), PER_PAGE)]
    pages = list[SitePage]()
    for number, chunk in enumerate(chunks):
        gallery, part = divmod(number, PAGES_PER_GALLERY)
        more = part + 1 < PAGES_PER_GALLERY and number + 1 < len(chunks)
        next_path = f"/gallery/{gallery}/{part + 2}.html" if more else None
        base = "/" if number % 7 == 3 else None
        path = f"/gallery/{gallery}/{part + 1}.html"
        pages.append(SitePage(path=path, title=f"Gallery {gallery + 1}, page {part + 1}", figures=chunk, next_path=next_path, base=base))
    return pages


def page_of_its_own(
    name: str, title: str, figures: Sequence[Figure], *, host: str = MAIN, licence: str | None = None, robots: str | None = None
) -> SitePage:
    """A page whose marks hold for all its figures; a licence of the page takes the place of theirs."""
    plain = [replace(one, licence=None) for one in figures] if licence else list(figures)
    return SitePage(path=f"/special/{name}.html", title=title, figures=tuple(plain), host=host, licence=licence, robots=robots)


def index(pages: Sequence[SitePage], host: str) -> str:
    """The page that a crawl begins with: a link to the first page of each gallery of the host."""
    later = {page.next_path for page in pages}
    first = [page for page in pages if page.host == host and page.path not in later]
    links = [f'<li><a href="{page.path}">{html.escape(page.title)}</a></li>' for page in first]
    return _document("Pictures", "<ul>\n" + "\n".join(links) + "\n</ul>")


def render(page: SitePage) -> str:
    """The page's HTML."""
    head = ""
    if page.base:
        head += f'<base href="{page.base}">'
    if page.robots:
        head += f'<meta name="robots" content="{page.robots}">'
    if page.licence:
        head += f'<link rel="license" href="{page.licence}">'
    body = "\n".join(_figure(one, number, page) for number, one in enumerate(page.figures))
    if page.next_path:
        body += f'\n<p><a rel="next" href="{page.next_path}">next page</a></p>'
    return _document(page.title, body, head)


def _document(title: str, body: str, head: str = "") -> str:
    start = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>{head}</head>'
    return f"{start}\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"


def _address(path: str, number: int, page: SitePage) -> str:
    """The same address written in one of three ways: from the root, from the page, from the base."""
    if page.base:
        return path.removeprefix("/")
    if number % 3 == 1:
        return "../" * (page.path.count("/") - 1) + path.removeprefix("/")
    return path


def _figure(one: Figure, number: int, page: SitePage) -> str:
    """The picture between the sentences about it; a licence of its own is what the picture links to."""
    address, alt = html.escape(_address(one.url_path, number, page)), html.escape(one.caption)
    title = f' title="{html.escape(one.captions.title)}"' if one.captions.title else ""
    match number % 5:
        case 2:
            image = f'<img loading="lazy" src="{SPACER}" data-src="{address}" alt="{alt}"{title}>'
        case 4:
            image = f'<img src="{address}" srcset="{address} 256w" sizes="256px" alt="{alt}"{title} width="256" height="256">'
        case _:
            image = f'<img src="{address}" alt="{alt}"{title}>'
    if one.licence:
        image = f'<a rel="license" href="{html.escape(one.licence)}">{image}</a>'
    caption = f"<figcaption>{html.escape(one.captions.figcaption)}</figcaption>" if one.captions.figcaption else ""
    shown = f"<figure>{image}{caption}</figure>" if one.licence or caption or number % 2 else f"<div>{image}</div>"
    return f"<p>{html.escape(one.captions.before)}</p>\n{shown}\n<p>{html.escape(one.captions.after)}</p>"


def routes(pages: Sequence[SitePage]) -> dict[str, dict[str, object]]:
    """What the server answers to each picture's path."""
    found = dict[str, Route]()
    for page in pages:
        for one in page.figures:
            assert not set(one.routes) & set(found), f"two figures share an address: {one.url_path}"
            found |= one.routes
    return {path: asdict(route) for path, route in found.items()}


def ground_truth_rows(pages: Sequence[SitePage]) -> list[GroundTruth]:
    """The rows of truth.parquet; a figure without a licence of its own has its page's."""
    return [
        {**row, "licence": row["licence"] or page.licence}
        for page in pages
        for row in (one.ground_truth(page.path) for one in page.figures)
    ]

"""Frontier: which pairs and pages a crawl wants, which are under way, and that each of them is settled exactly once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from scrapy import Request

from unclip_crawl.addresses import site_of, why_invalid
from unclip_crawl.journal.journal import Journal
from unclip_crawl.journal.rows import failed_row
from unclip_crawl.pages.html import Page
from unclip_pairs.schema import Pair

MOST = 2000  # pairs, and pages, under way at once
PAGES_FIRST = 10  # times as many pairs may wait before pictures come before pages
Wanted = Request | Pair


def empty_page(url: str, opt_out: str | None = None) -> Page:
    """A page that offers nothing."""
    return Page(url, (), (), opt_out)


class Frontier:
    """Gives pairs and page requests that are new to the journal; `pending` and `pending_pages` are under way. `request_page` makes the
    request for a page, more urgent than a picture's or less."""

    def __init__(self, journal: Journal, max_pages: int, request_page: Callable[[str, int], Request]) -> None:
        self.journal = journal
        self.max_pages = max_pages
        self.request_page = request_page
        self.pending: dict[str, Pair] = {}
        self.pending_pages: set[str] = set()
        self.seen_pages: set[str] = set()
        self.listed: dict[str, tuple[Pair, ...]] = {}

    def is_full(self) -> bool:
        """Whether sources should wait until some of what is under way is settled."""
        return len(self.pending) > MOST or len(self.pending_pages) > MOST

    def is_known(self, pair: Pair) -> bool:
        """Whether the pair is settled or under way."""
        return pair.key in self.journal.statuses or pair.key in self.pending

    def begin(self, pair: Pair) -> None:
        """The pair is under way from now on."""
        self.pending[pair.key] = pair
        self.journal.urls.add(pair.url)

    def settle(self, pair: Pair, status: str, detail: str, kind: str | None = None, size: int | None = None) -> None:
        """Gives a pair under way the row of a picture that is not stored; nothing happens when it is settled already."""
        if self.pending.pop(pair.key, None) is not None:
            self.journal.add(failed_row(pair, status, detail, kind, size))

    def want(self, pair: Pair) -> Iterator[Wanted]:
        """The pair, now under way, unless it is settled, under way, a repeated address or no address at all."""
        if self.is_known(pair):
            return
        invalid = why_invalid(pair.url)
        if invalid is not None:
            self.journal.add(failed_row(pair, "invalid_url", invalid))
        elif pair.context.opt_out is not None:
            self.journal.add(failed_row(pair, "opt_out", pair.context.opt_out))
        elif pair.url in self.journal.urls:
            self.journal.add(failed_row(pair, "duplicate_url", "the same address under another caption"))
        else:
            self.begin(pair)
            yield pair

    def want_again(self) -> Iterator[Wanted]:
        """What earlier runs left missing and the web may give, now under way."""
        for pair in self.journal.missing:
            if pair.url.startswith(("http://", "https://")) and not self.is_known(pair):
                self.begin(pair)
                yield pair

    def visit(self, urls: Sequence[str]) -> Iterator[Wanted]:
        """Requests for pages not seen yet; pages an earlier run has read are followed without asking for them again."""
        waiting = list(reversed(urls))
        while waiting:
            url = waiting.pop()
            if url in self.seen_pages or len(self.seen_pages) >= self.max_pages:
                continue
            self.seen_pages.add(url)
            known = self.journal.known_page(url)
            if known is None:
                yield self._begin_page(url)
                continue
            yield from self._pictures(self._with_listed(known))
            waiting.extend(reversed(_links(known)))

    def _begin_page(self, url: str) -> Request:
        self.pending_pages.add(url)
        # pages first while the frontier is small, so that the total is known early; pictures first when it has grown
        return self.request_page(url, 10 if len(self.pending) < MOST * PAGES_FIRST else -10)

    def visit_listed(self, url: str, pairs: tuple[Pair, ...]) -> Iterator[Wanted]:
        """The request for a page that a sitemap lists; its pictures wait until the page was read, for the page may opt out."""
        if url in self.seen_pages and url not in self.pending_pages:
            self.listed[url] = pairs
            yield from self._settle_listed(url)
        elif url in self.seen_pages or len(self.seen_pages) < self.max_pages:
            self.listed[url] = (*self.listed.get(url, ()), *pairs)
            yield from self.visit([url])

    def settle_page(self, page: Page, status: str, detail: str) -> Iterator[Wanted]:
        """Records how a page ended; gives its pictures and the pages of its site that it leads to, none when it could not be had."""
        self.pending_pages.discard(page.url)
        page = self._with_listed(page) if status == "ok" else page
        self.journal.add_page(page, status, detail)
        return iter((*self._settle_listed(page.url), *self._pictures(page), *self.visit(_links(page))))

    def _settle_listed(self, url: str) -> Iterator[Wanted]:
        """What becomes of a page's listed pictures when the page has ended: without the page, nobody knows what it allows."""
        record = self.journal.pages[url]
        if record["status"] == "ok":
            yield from self._pictures(self._with_listed(empty_page(url, record["opt_out"])))
            return
        for pair in self.listed.pop(url, ()):
            if not self.is_known(pair):
                self.journal.add(failed_row(pair, record["status"], record["detail"]))

    def _with_listed(self, page: Page) -> Page:
        """The page with the pictures that a sitemap lists for it and that it does not show itself."""
        shown = {pair.url for pair in page.pairs}
        listed = (pair for pair in self.listed.pop(page.url, ()) if pair.url not in shown)
        more = (replace(pair, context=replace(pair.context, opt_out=page.opt_out)) for pair in listed)
        return replace(page, pairs=(*page.pairs, *more))

    def _pictures(self, page: Page) -> Iterator[Wanted]:
        for pair in page.pairs:
            yield from self.want(pair)

    def settle_the_rest(self, status: str, detail: str) -> None:
        """Gives everything under way, and what earlier runs left missing, this status."""
        for pair in list(self.pending.values()):
            self.settle(pair, status, detail)
        for url in list(self.pending_pages):
            if any(True for _ in self.settle_page(empty_page(url), status, detail)):
                raise AssertionError("a page that could not be had gives no requests")
        self.settle_unread(self.journal.missing, status, detail)

    def settle_unread(self, pairs: Iterable[Pair], status: str, detail: str) -> None:
        """Gives pairs that nobody has asked for yet this status; what is settled keeps its own."""
        for pair in pairs:
            if pair.key not in self.journal.statuses:
                self.journal.add(failed_row(pair, status, detail))


def _links(page: Page) -> list[str]:
    return [link for link in page.links if site_of(link) == site_of(page.url)]

"""Tests of the search page as somebody uses it: by keyboard, in a browser."""

from typing import Any

import pytest

from unclip_curation.decisions.takedown_effects import meant_by
from unclip_curation.search.visibility import Visibility
from unclip_pairs.takedowns import record
from unclip_server.search.clip_retrieval_engine import best_engine
from unclip_server.search.finder import Finder
from unclip_server.search.search_page import create_search_app
from unclip_server.stored_pictures import StoredPictures

pytestmark = pytest.mark.browser


@pytest.fixture
def address(serve: Any, searchable: Any) -> str:
    engine = best_engine(searchable.store, searchable.folder)
    pictures = StoredPictures(searchable.store)
    return serve(create_search_app(Finder(engine, Visibility(searchable.store), searchable.words, searchable.picture, pictures)))


def ask(page: Any, words: str) -> None:
    page.keyboard.type(words)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def captions(page: Any) -> list[str]:
    return page.locator("#found .caption").all_inner_texts()


def test_words_are_typed_and_likeness_is_followed_by_keyboard(page: Any, address: str, shoot: Any) -> None:
    page.goto(address)
    shoot(page, "search-empty")
    ask(page, "something red")
    assert [caption.split()[1] for caption in captions(page)[:6]] == ["red"] * 6
    page.wait_for_load_state("networkidle")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.querySelector('img').alt") == captions(page)[1]
    page.keyboard.press("i")
    assert "unclip data takedown --key" in page.locator("#found details[open]").inner_text()
    shoot(page, "search-found")
    second = captions(page)[1]
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert captions(page)[0] == second and "like=" in page.url
    page.keyboard.press("/")
    ask(page, "blue")
    assert captions(page)[0].split()[1] == "blue"


def test_a_picture_is_given_to_search_with(page: Any, address: str, searchable: Any, shoot: Any) -> None:
    data, _ = StoredPictures(searchable.store)(searchable.keys[2]) or (b"", "")
    page.goto(address)
    with page.expect_navigation():
        page.set_input_files("#file", {"name": "mine.png", "mimeType": "image/png", "buffer": data})
    assert captions(page)[0] == "a green circle number 2"
    page.goto(address)
    page.set_input_files("#file", {"name": "mine.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("[role=alert]")
    assert "not a picture that can be read" in page.inner_text("[role=alert]")
    shoot(page, "search-mistake")


def test_what_is_taken_down_is_gone_from_the_next_page(page: Any, address: str, searchable: Any) -> None:
    page.goto(f"{address}/?q=red")
    first = captions(page)
    record(searchable.store, meant_by(searchable.store, "host", "pictures.test"))
    page.reload()
    assert first and captions(page) == [] and "Nothing was found" in page.inner_text("[role=status]")


def test_the_page_fits_a_narrow_window(page: Any, address: str, shoot: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}/?q=yellow")
    page.wait_for_load_state("networkidle")
    shoot(page, "search-narrow")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

"""Tests of the labelling page as a rater uses it: by keyboard, in a browser."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from unclip_labels.label_store import TRAIN, LabelStore, open_labels
from unclip_labels.raters import RestAdvice
from unclip_labels.specifications import read_specification
from unclip_pairs.home import open_store
from unclip_server.labels.labelling import LabelPage, create_label_app

pytestmark = pytest.mark.browser
PAGE = Path(__file__).parents[2] / "docs/specifications/weapons.md"
KEYS = [f"{i:020x}" for i in range(6)]


def drawing(key: str) -> tuple[bytes, str]:
    """A sword, or a flower: drawn, and harmless."""
    image = Image.new("RGB", (256, 256), "white")
    draw, buffer = ImageDraw.Draw(image), io.BytesIO()
    if int(key, 16) % 2:
        draw.polygon([(120, 20), (136, 20), (136, 180), (120, 180)], fill="#8892a0")
        draw.rectangle((88, 180, 168, 194), fill="#6b4a2b")
        draw.rectangle((120, 194, 136, 240), fill="#6b4a2b")
    else:
        draw.rectangle((124, 120, 132, 240), fill="#2c8a3f")
        draw.ellipse((80, 40, 176, 136), fill="#e2557a")
    image.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


@pytest.fixture
def book(tmp_path: Path) -> LabelStore:
    found = open_labels(open_store(tmp_path / "home"))
    found.define(read_specification(PAGE))
    found.add_items("weapons", KEYS, TRAIN, "seed", raters=2)
    return found


def begin(page: Any, serve: Any, book: LabelStore, rater: str, pace: RestAdvice | None = None) -> None:
    """Opens the page by its link and starts, by keyboard alone."""
    page.goto(serve(create_label_app(LabelPage(book, drawing, pace or RestAdvice(), "secret"))) + "/?token=secret")
    page.keyboard.type(rater)
    page.keyboard.press("Enter")
    page.wait_for_selector("#picture")


def press(page: Any, key: str) -> None:
    """Presses a key that sends a form, and waits for the next page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def is_blurred(page: Any) -> bool:
    return "blur" in page.evaluate("getComputedStyle(document.querySelector('#picture img')).filter")


def said(book: LabelStore) -> list[dict[str, str]]:
    return [dict(item.labels) for item in book.items("weapons")]


def test_answers_are_given_and_taken_back_by_keyboard(page: Any, serve: Any, shoot: Any, book: LabelStore) -> None:
    begin(page, serve, book, "anna")
    for key in ("2", "1", "s"):
        press(page, key)
    assert said(book)[:4] == [{"anna": "no"}, {"anna": "yes"}, {"anna": "unsure"}, {}]
    press(page, "u")
    assert said(book)[2] == {}
    assert KEYS[2] in page.get_attribute("#picture img", "src")
    assert "taken back" in page.inner_text("[role=status]")
    shoot(page, "labelling-taken-back")
    press(page, "n")
    assert said(book)[2] == {"anna": "no"}
    assert book.history("weapons", KEYS[2]) == [("anna", "unsure", False), ("anna", "no", True)]
    assert "3 answered, 3 to go" in page.inner_text("header")


def test_a_picture_is_blurred_unless_the_space_bar_is_held(page: Any, serve: Any, shoot: Any, book: LabelStore) -> None:
    begin(page, serve, book, "anna")
    assert is_blurred(page)
    shoot(page, "labelling-blurred")
    page.keyboard.down(" ")
    assert not is_blurred(page)
    shoot(page, "labelling-revealed")
    page.keyboard.up(" ")
    assert is_blurred(page)
    page.keyboard.down(" ")
    press(page, "1")
    assert is_blurred(page)  # the next picture does not come unveiled
    page.keyboard.up(" ")


def test_a_break_is_asked_for_and_taken(page: Any, serve: Any, shoot: Any, book: LabelStore) -> None:
    begin(page, serve, book, "anna", RestAdvice(answers=2))
    press(page, "1")
    press(page, "2")
    assert page.get_by_role("heading").inner_text() == "Time for a break"
    shoot(page, "labelling-break")
    press(page, "c")
    assert page.query_selector("#picture")


def test_two_raters_see_how_well_they_agree(page: Any, serve: Any, shoot: Any, book: LabelStore) -> None:
    for index, key in enumerate(KEYS):
        book.label("weapons", key, "ben", "yes" if index % 2 or index == 4 else "no")
    begin(page, serve, book, "anna")
    for index in range(len(KEYS)):
        press(page, "1" if index % 2 else "2")
    assert "agreement 5 of 6, κ 0.67" in page.inner_text("header")
    assert "Nothing waits for you here" in page.inner_text("main")
    page.get_by_role("link", name="agreement").click()
    assert "1 disputed" in page.inner_text("main")
    shoot(page, "labelling-agreement")
    begin(page, serve, book, "carla")
    assert KEYS[4] in page.get_attribute("#picture img", "src")


def test_the_page_works_by_tab_and_enter_and_says_what_each_part_is(page: Any, serve: Any, shoot: Any, book: LabelStore) -> None:
    begin(page, serve, book, "anna")
    page.get_by_role("button", name="No", exact=False).first.focus()
    press(page, "Enter")
    assert sum(map(len, said(book))) == 1
    unnamed = (
        "[...document.querySelectorAll('img, button, input:not([type=hidden])')].filter(e => !(e.alt || e.innerText || e.labels?.length))"
    )
    assert page.evaluate(f"{unnamed}.length") == 0
    page.get_by_text("What counts, and what does not").click()
    shoot(page, "labelling-specification")


def test_without_the_link_there_is_nothing_to_see(page: Any, serve: Any, book: LabelStore) -> None:
    address = serve(create_label_app(LabelPage(book, drawing, RestAdvice(minutes=timedelta(hours=1).seconds / 60), "secret")))
    for path in ("/", "/?token=guess", "/rate/weapons", f"/picture/{KEYS[0]}?token=secret"):
        assert page.goto(address + path).status == 403

"""Tests of the caption scorer: what it measures, and what the default policy makes of it."""

from collections.abc import Callable

import pytest
from pyarrow.parquet import read_table

from unclip_curation.scorers import registry
from unclip_curation.scorers.captions import boilerplate, describe, language_detector, latin_share
from unclip_pairs.store import Store


@pytest.fixture(scope="module")
def detect() -> Callable[[str], list[tuple[str, float]]]:
    return language_detector()


@pytest.mark.parametrize("caption", ["IMG_2041.jpg", "DSC02048.JPG", "image7.png", "click to enlarge", "Image", "stock photo", "untitled",
                                     "Image may contain: one or more objects", "Photo 123", "© 2024 by somebody"])  # fmt: skip
def test_what_pages_write_in_place_of_a_description_is_boilerplate(caption: str) -> None:
    assert boilerplate(caption) is not None


@pytest.mark.parametrize("caption", ["a framed picture of a copyright sign", "a camera with flash", "a shared bicycle", "photo album",
                                     "a flat icon of a padlock", "this outlined picture shows a red apple"])  # fmt: skip
def test_descriptions_are_not_boilerplate(caption: str) -> None:
    assert boilerplate(caption) is None


@pytest.mark.parametrize("caption", ["a cat, write to anna.berg@example.com for prints", "mail+shop@shop.example.co.uk: a dog",
                                     "anna (at) example (dot) org", "anna at example dot org"])  # fmt: skip
def test_addresses_are_found_also_when_they_are_spelt_out(caption: str, detect: Callable[[str], list[tuple[str, float]]]) -> None:
    assert describe(caption, detect)["email"]


@pytest.mark.parametrize("caption", ["a cat @ the door", "look at the dot", "an @ sign in a blue circle", "meet at the big red bus stop"])
def test_an_at_sign_is_no_address(caption: str, detect: Callable[[str], list[tuple[str, float]]]) -> None:
    assert not describe(caption, detect)["email"]


def test_languages_are_told_apart_without_a_network(detect: Callable[[str], list[tuple[str, float]]]) -> None:
    assert detect("a simple sticker-like drawing of an apple")[0][0] == "en"
    assert detect("Auf diesem schönen Bild sehen Sie einen Apfel")[0][0] == "de"
    assert detect("") == []
    assert latin_share("Это рисунок") == 0 and latin_share("12 + 3") == 1


def test_every_row_of_the_crawl_is_scored_once(store: Store, crawl_batch: Callable[..., list[str]]) -> None:
    keys = crawl_batch([{"caption": "a red circle"}, {"caption": "A  RED circle", "status": "timeout"}])
    manifest = registry.score(store, "a", ["caption"])
    rows = read_table(store.path("features/a/caption.parquet")).to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(keys)
    assert len({row["text_digest"] for row in rows}) == 1, "case and spaces do not make another caption"
    assert registry.score(store, "a", ["caption"]) == manifest

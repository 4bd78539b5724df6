"""Tests of caption candidates: every text of a page is gathered once and measured as a caption is."""

import pytest
from pyarrow.parquet import read_table

from unclip_curation.scorers.caption_candidates import candidates_of, content_words, first_sentence, last_sentence
from unclip_curation.scorers.registry import score
from unclip_pairs.store import Store


def sources(**texts: str) -> dict[str, str]:
    """The candidates of a sample with the caption "A red apple", by source."""
    return {one.source: one.text for one in candidates_of({"txt": b"A red apple"} | texts)}


def test_each_text_of_a_page_is_a_candidate_once() -> None:
    found = sources(alt="A red apple", title="a  RED apple.", figcaption="Ripe fruit", text_before="Ripe fruit.", text_after="It is ripe.")
    assert found == {"figcaption": "Ripe fruit", "text_after": "It is ripe."}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("was cut off. A dog runs.", "A dog runs."),
        ("A dog runs.", "A dog runs."),
        ("cut off and then a dog runs.", ""),
        ("A dog runs. Next", ""),
        ("A dog runs. Really?", ""),
        ("A dog runs...", ""),
        (f"Before. A {'very ' * 50}long one.", ""),
        ("", ""),
    ],
)
def test_only_a_whole_sentence_before_a_picture_counts(text: str, sentence: str) -> None:
    assert last_sentence(text) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"), [("A dog runs. A cat", "A dog runs."), ("A dog runs", ""), ("Who runs? A dog.", ""), ("", ""), (".", ".")]
)
def test_only_a_whole_sentence_behind_a_picture_counts(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


def test_content_words_say_what_a_picture_shows() -> None:
    assert content_words("The pictures show two RED Apples on a glass") == {"two", "red", "apple", "glass"}
    assert content_words("An image of it") == set()


def test_candidates_are_measured_as_captions_are(store: Store, crawl_batch) -> None:  # type: ignore[no-untyped-def]
    keys = crawl_batch([{"caption": "a red apple", "title": "write to me@example.org", "text_after": "Red apples fall. More"}])
    score(store, "a", ["caption_candidates"], workers=1)
    (row,) = read_table(store.path("features/a/caption_candidates.parquet")).to_pylist()
    title, after = row["candidates"]
    assert row["key"] == keys[0] and title["email"] and title["personal"] == ["email"] and title["source"] == "title"
    assert (after["text"], after["agreement"], after["content_words"], after["words"]) == ("Red apples fall.", 1.0, 3, 3)

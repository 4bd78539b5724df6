"""Tests of views: copies of the training pictures that show the same, moved, scaled or mirrored, with embeddings of their own."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from unclip_pairs.store import Store
from unclip_training.config import AnyRun
from unclip_training.data import views
from unclip_training.data.decoded_cache import DecodedPairs, decoded_pairs
from unclip_training.data.pair_source import pairs_source
from unclip_training.data.views import NUM_DRAWS, view, view_of_all, with_views
from unclip_training.embedder import ClipEmbedder
from unclip_training.fit import Launch, fit

UNCHANGED = (0.15 / 0.27, 0.5, 0.5, 0.9)  # scale 1, in the middle, not mirrored


def corner(side: int = 64) -> NDArray[np.uint8]:
    """A red square left above on blue."""
    picture = np.full((side, side, 3), (30, 60, 220), np.uint8)
    picture[8:24, 8:24] = (220, 30, 30)
    return picture


def middle_of_red(picture: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.nonzero(picture[..., 0] > 128)
    return float(rows.mean()), float(columns.mean())


@pytest.fixture
def pairs(shapes: Store) -> DecodedPairs:
    return decoded_pairs(shapes, pairs_source(shapes, "v-shapes"), 128)


@pytest.fixture
def embedder(shapes: Store, small_runs: dict[str, AnyRun]) -> ClipEmbedder:
    fit(shapes, small_runs["clip"], Launch(dataset="v-shapes", name="first", track=False))
    return ClipEmbedder(shapes.folder("models/clip/first"))


def test_a_view_is_the_picture_moved_scaled_and_mirrored_as_the_draws_say() -> None:
    picture = corner()
    np.testing.assert_allclose(view(picture, np.array(UNCHANGED), True).astype(int), picture, atol=1)
    down = view(picture, np.array([UNCHANGED[0], 0.0, 0.5, 0.9]), True)
    assert middle_of_red(down)[0] > middle_of_red(picture)[0] + 4 and middle_of_red(down)[1] == pytest.approx(15.5, abs=1)
    larger, smaller = (view(picture, np.array([scale, 0.5, 0.5, 0.9]), True) for scale in (1.0, 0.0))
    assert (larger[..., 0] > 128).sum() > 256 > (smaller[..., 0] > 128).sum()
    mirrored = view(picture, np.array([*UNCHANGED[:3], 0.1]), True)
    assert middle_of_red(mirrored)[1] == pytest.approx(63 - 15.5, abs=1)
    assert middle_of_red(view(picture, np.array([*UNCHANGED[:3], 0.1]), False))[1] == pytest.approx(15.5, abs=1), "a caption says left"


def test_beyond_its_edge_a_picture_goes_on_as_it_ended() -> None:
    for draws in np.random.default_rng(0).random((20, NUM_DRAWS)):
        seen = view(corner(), draws, False)
        assert (seen[-1, :, 2] > 200).all() and (seen[:, -8:, 2] > 200).all()


def test_views_follow_the_pairs_in_their_order_and_keep_captions_and_weights(
    shapes: Store, pairs: DecodedPairs, embedder: ClipEmbedder
) -> None:
    pairs = replace(pairs, weights=np.arange(len(pairs), dtype=np.float32))
    many = with_views(shapes, pairs, 2, embedder)
    count = len(pairs)
    assert len(many) == 3 * count == len(many.captions_of) == len(many.weights) == len(many.pictures)
    assert many.keys[count : 2 * count] == pairs.keys and many.captions_of[2 * count :] == pairs.captions_of
    np.testing.assert_array_equal(many.weights[2 * count :], pairs.weights)
    np.testing.assert_array_equal(many.pictures[:count], pairs.pictures)
    np.testing.assert_array_equal(many.pictures[count : 2 * count], view_of_all(pairs, 0))
    assert many.clip_image is not None
    np.testing.assert_allclose(many.clip_image[count:], embedder.pictures(many.pictures[count:]), atol=1e-5)
    assert not np.array_equal(many.pictures[count], many.pictures[2 * count]), "two views of a picture differ"


def test_views_are_embedded_once_for_all_stages(
    shapes: Store, pairs: DecodedPairs, embedder: ClipEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_views(shapes, pairs, 1, embedder)
    monkeypatch.setattr(embedder, "pictures", None)
    again = with_views(shapes, pairs, 1, embedder)
    assert first.clip_image is not None and again.clip_image is not None
    np.testing.assert_array_equal(first.clip_image, again.clip_image)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    monkeypatch.setattr(views, "MOVE", 0.05)
    with pytest.raises(TypeError):
        with_views(shapes, pairs, 1, embedder)


def test_only_stages_that_are_told_the_embedding_learn_from_views(small_runs: dict[str, AnyRun]) -> None:
    for stage in ("clip", "judge", "prior", "upsampler_256"):
        with pytest.raises(ValueError, match="views is 2; only a decoder or an upsampler"):
            replace(small_runs[stage], views=2)
    assert replace(small_runs["decoder"], views=2).views == 2


def test_a_decoder_learns_from_pictures_and_views(shapes: Store, embedder: ClipEmbedder, small_runs: dict[str, AnyRun]) -> None:
    run = replace(small_runs["decoder"], views=1)
    fit(shapes, run, Launch(dataset="v-shapes", name="first", clip="models/clip/first", track=False))
    assert any("-views-" in name and name.endswith("clip_image.npy") for name in shapes.names("cache/"))
    assert shapes.exists("models/decoder/first/weights.safetensors")

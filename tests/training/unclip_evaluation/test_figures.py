"""These tests hold the figures of the evaluation against cases whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from unclip_evaluation.composition import hits
from unclip_evaluation.distances import frechet, nearest, reference_set
from unclip_evaluation.evaluate import bundle_digest
from unclip_evaluation.figures import main_figures, rate
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.regurgitation import closest_sheet, distribution
from unclip_evaluation.sheet import CaptionedPictures, captioned_sheet
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.judging.mobilenet import DIM, features


def test_each_training_picture_is_its_own_nearest_neighbour(shapes: Store) -> None:
    train = reference_set(shapes, "v-shapes")
    assert train.features.shape == (31, DIM)
    places, cosines = nearest(train.features, train.features)
    assert places.tolist() == list(range(31))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_features_are_computed_once_and_do_not_depend_on_the_batch(shapes: Store) -> None:
    train = reference_set(shapes, "v-shapes")
    heard: list[int] = []
    reference_set(shapes, "v-shapes", "train", heard.append)
    assert heard == []
    np.testing.assert_allclose(features(np.asarray(train.pairs.pictures[:3]), batch_size=1), train.features[:3], atol=1e-3)


def test_the_frechet_distance_of_normal_sets_is_the_known_one() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((20_000, 4)), 2 * generator.standard_normal((20_000, 4)) + 3
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, b) == pytest.approx(4 * 3**2 + 4 * (2 - 1) ** 2, rel=0.02)


def test_hits_count_concept_and_style_apart() -> None:
    train = np.eye(4, dtype=np.float32)
    labels = [Label("cat", "flat"), Label("cat", "3d"), Label("dog", "flat"), None]
    prompts = [Prompt(str(i), Label("cat", "flat")) for i in range(4)]
    found = hits(prompts, train, train, labels)
    assert (found.concept, found.style) == (0.5, 0.5)
    assert found.places.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(10, 20, 0.2993, 0.7007), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 100, 0.0018, 0.0545)]
)
def test_a_rate_has_its_wilson_interval(hits: int, of: int, low: float, high: float) -> None:
    found = rate([place < hits for place in range(of)])
    assert (found["hits"], found["of"], found["value"]) == (hits, of, hits / of)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-4)


def test_a_rate_over_nothing_says_nothing() -> None:
    assert rate([]) == {"value": 0.0, "low": 0.0, "high": 1.0, "hits": 0, "of": 0}


def test_the_main_figures_leave_out_intervals_and_what_was_not_measured() -> None:
    some, none = {name: rate([True, False]) for name in ("painted", "real")}, {name: rate([]) for name in ("painted", "real")}
    sets = {"own_words": {"num_prompts": 2, "concept_at_1": some, "style": none, "checks": {"count": some | {"real": rate([])}}}}
    found = main_figures({"concept_hit_rate": 0.5, "nearest_train": {"mean": 0.9}, "sets": sets, "diversity": {"pixel_difference": 3.0}})
    own = {"concept_at_1": 0.5, "count": 0.5, "real": {"concept_at_1": 0.5}}
    assert found == {"concept_hit_rate": 0.5, "nearest_train": {"mean": 0.9}, "own_words": own, "diversity": {"pixel_difference": 3.0}}


def test_the_distribution_names_copies() -> None:
    found = distribution(np.array([0.5, 0.6, 0.98, 0.99]))
    assert found["share_above_0.97"] == 0.5 and found["q100"] == 0.99 and 0.7 < found["mean"] < 0.8


def test_sheets_show_every_card() -> None:
    pictures = np.full((3, 128, 128, 3), 200, np.uint8)
    sheet = captioned_sheet(
        [("first", [CaptionedPictures("a caption", (pictures[0], pictures[1]))] * 5), ("second", [CaptionedPictures("b", (pictures[2],))])]
    )
    assert sheet.width == 1080 and sheet.height > 3 * 112
    assert (np.asarray(sheet) == 200).all(-1).sum() >= 11 * 112 * 112
    assert closest_sheet(pictures, pictures, np.array([0.1, 0.9, 0.5]), ["a", "b", "c"]).width > 256


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no bundle\.json"):
        bundle_digest(tmp_path)

"""Tests of duplicates: copies are found, pictures that only resemble each other are not, and one of each group stays."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from unclip_curation.duplicates.union_find import redundant
from unclip_curation.policy import load_policy
from unclip_curation.schemas import PICTURE_SCHEMA
from unclip_curation.scorers.pictures import measure
from unclip_curation.similarity.likeness import Candidate, as_pictures, candidates
from unclip_curation.similarity.neighbours import cells_of, close_pairs, nearest, normalised

LIMIT = load_policy().number
FINGERPRINTS = PICTURE_SCHEMA.append(pa.field("sha256", pa.string()))


def table_of(images: list[Image.Image], *alike: tuple[int, int]) -> list[Candidate]:
    rows = [measure(image) | {"key": f"k{number}"} for number, image in enumerate(images)]
    table = pa.Table.from_pylist([row | {"sha256": row["pixels_sha256"]} for row in rows], schema=FINGERPRINTS)
    near = np.full(len(alike), 0.99, dtype=np.float32)
    return candidates(as_pictures(table), np.array(alike, dtype=np.int64).reshape(-1, 2), near).to_pylist()


def perceptual(pair: Candidate) -> bool:
    return bool(
        pair["pdq_distance"] <= LIMIT("duplicate_pdq")
        and pair["grid_mean"] <= LIMIT("duplicate_grid")
        and pair["grid_peak"] <= LIMIT("duplicate_grid_peak")
    )


def altered(image: Image.Image) -> Iterator[Image.Image]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=65)
    yield Image.open(buffer).convert("RGB")
    yield image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS)
    yield ImageEnhance.Brightness(image).enhance(1.06)
    yield ImageEnhance.Brightness(image).enhance(0.93)
    yield ImageOps.mirror(image)


def test_changed_copies_are_perceptual_duplicates(draw: Callable[..., Image.Image]) -> None:
    image = draw("triangle", "green", 5, side=256)
    for copy in altered(image):
        pairs = table_of([image, copy])
        assert [perceptual(pair) for pair in pairs] == [True]


def flag(*colours: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (256, 256), "white")
    for number, colour in enumerate(colours):
        ImageDraw.Draw(image).rectangle((20 + 72 * number, 60, 92 + 72 * number, 196), fill=colour)
    return image


def test_flags_of_like_brightness_are_told_apart_by_their_colours() -> None:
    pairs = table_of([flag((200, 40, 40), (250, 250, 250), (40, 40, 40)), flag((30, 110, 60), (250, 250, 250), (40, 40, 40))])
    assert all(pair["pdq_distance"] <= 31 for pair in pairs) and len(pairs) == 1, "the hash alone cannot tell them apart"
    assert not perceptual(pairs[0])


def test_different_shapes_are_no_candidates(draw: Callable[..., Image.Image]) -> None:
    images = [draw(shape, colour, 7, side=128) for shape in ("circle", "triangle", "cross") for colour in ("red", "blue")]
    assert not any(perceptual(pair) for pair in table_of(images))


def test_equal_pixels_are_exact_duplicates(draw: Callable[..., Image.Image]) -> None:
    pairs = table_of([draw("circle", "red"), draw("cross", "red"), draw("circle", "red")])
    assert [(pair["a"], pair["b"]) for pair in pairs if pair["same_pixels"]] == [("k0", "k2")]


def test_the_best_standing_row_of_a_group_stays_and_the_strongest_reason_counts() -> None:
    places = {"a": 3, "b": 1, "c": 2, "d": 4}
    edges = [("a", "b", "perceptual"), ("a", "c", "exact"), ("b", "c", "semantic"), ("a", "gone", "exact")]
    found = redundant(edges, places, ("exact", "perceptual", "semantic"))
    assert found == {"a": ("exact", "b"), "c": ("perceptual", "b")}


def test_groups_do_not_depend_on_the_order_of_edges() -> None:
    rng = np.random.default_rng(0)
    places = {f"k{number}": int(place) for number, place in enumerate(rng.permutation(40))}
    edges = [(f"k{a}", f"k{b}", "exact") for a, b in rng.integers(0, 40, (30, 2)) if a != b]
    results = [redundant([edges[i] for i in rng.permutation(len(edges))], places, ("exact",)) for _ in range(5)]
    assert all(result == results[0] for result in results)


def test_what_stood_before_a_row_came_stays_standing() -> None:
    places = {"a": 3, "b": 2, "new": 1}
    edges = [("a", "new", "exact"), ("b", "new", "semantic")]
    assert redundant(edges, places, ("exact", "semantic")).keys() == {"a", "b"}, "all at once, the best stays"
    assert redundant(edges, places, ("exact", "semantic"), {"new": 1}) == {"new": ("exact", "a")}, "b is like a only by way of the new row"


def test_a_turned_copy_is_a_pair_of_its_own_kind(draw: Callable[..., Image.Image]) -> None:
    image = draw("triangle", "green", 5, side=256)
    for quarter in (1, 2, 3):
        (pair,) = table_of([image, Image.fromarray(np.rot90(np.asarray(image), quarter))])
        assert pair["rotation"] == 90 * quarter and not pair["mirrored"] and perceptual(pair)
        (pair,) = table_of([image, ImageOps.mirror(Image.fromarray(np.rot90(np.asarray(image), quarter)))])
        assert pair["mirrored"] and perceptual(pair)


def test_few_rows_after_many_known_ones_find_the_same_pairs() -> None:
    rng = np.random.default_rng(0)
    base = normalised(rng.normal(size=(3_000, 24)))
    rows = np.concatenate([base, normalised(base[:500] + 0.01 * rng.normal(size=(500, 24)))])
    pairs, _ = close_pairs(rows, 0.97)
    later, _ = close_pairs(rows, 0.97, known=3_000)
    assert later.tolist() == [pair for pair in pairs.tolist() if pair[1] >= 3_000]


def test_close_pairs_are_found_within_cells_and_across_their_borders() -> None:
    rng = np.random.default_rng(0)
    base = normalised(rng.normal(size=(3_000, 24)))
    rows = np.concatenate([base, normalised(base[:500] + 0.01 * rng.normal(size=(500, 24)))])
    pairs, cosines = close_pairs(rows, 0.97)
    planted = {(number, 3_000 + number) for number in range(500)}
    assert len(planted & {(i, j) for i, j in pairs.tolist()}) >= 0.97 * 500
    assert cosines == pytest.approx(np.einsum("nd,nd->n", rows[pairs[:, 0]], rows[pairs[:, 1]]), abs=1e-5)


def test_cells_are_the_same_for_the_same_seed_and_hold_every_row_once() -> None:
    rows = normalised(np.random.default_rng(0).normal(size=(9_000, 8)))
    cells, again = list(cells_of(rows, 1)), list(cells_of(rows, 1))
    assert all(np.array_equal(a, b) for a, b in zip(cells, again, strict=True)) and len(cells) > 5
    assert sorted(np.concatenate(cells).tolist()) == list(range(9_000))
    assert [len(cell) for cell in cells_of(rows[:50], 1)] == [50]
    assert len(close_pairs(rows[:0], 0.5)[0]) == 0 and len(close_pairs(rows[:1], 0.5)[0]) == 0


def test_the_nearest_row_to_a_row_is_itself() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 6))
    numbers, cosines = nearest(rows, rows, 2)
    assert numbers[:, 0].tolist() == list(range(30)) and cosines[:, 0] == pytest.approx(1, abs=1e-5)
    assert nearest(rows, rows[:1], 5)[0].shape == (30, 1)


def test_pairs_that_clip_finds_alike_carry_their_cosine_unless_they_look_unlike(draw: Callable[..., Image.Image]) -> None:
    image, other = draw("circle", "red", 1, side=256), draw("cross", "blue", 2, side=256)
    pairs = table_of([image, image.crop((4, 4, 256, 256)), other], (0, 1), (0, 2))
    assert [(pair["a"], pair["b"], round(float(pair["cosine"]), 2)) for pair in pairs] == [("k0", "k1", 0.99)]  # type: ignore[arg-type]
    assert table_of([image]) == []

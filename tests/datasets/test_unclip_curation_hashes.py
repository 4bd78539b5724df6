"""This file tests perceptual hashes: the banded index finds exactly what comparing all pairs finds."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from unclip_curation.hashes import hamming, load_block_list, pdq, within
from unclip_curation.pictures import measure
from unclip_pairs.errors import UserError
from unclip_pairs.images import to_array
from unclip_pairs.store import Store


def test_the_banded_index_finds_every_pair_within_the_radius() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (300, 32), dtype=np.uint8)
    flips = np.packbits(rng.random((300, 256)) < rng.uniform(0, 0.2, (300, 1)), axis=1)
    queries = base ^ flips
    for radius in (0, 12, 31):
        i, j, distance = within(base, queries, radius)
        everything = np.array([[hamming(query[None], row[None])[0] for row in base] for query in queries[:40]])
        expected = {(a, b, everything[a, b]) for a, b in zip(*np.nonzero(everything <= radius), strict=True)}
        assert {pair for pair in zip(i.tolist(), j.tolist(), distance.tolist(), strict=True) if pair[0] < 40} == expected


def test_an_index_of_equal_hashes_gives_all_pairs() -> None:
    rows = np.zeros((60, 32), dtype=np.uint8)
    i, j, _ = within(rows, rows, 31)
    assert len(i) == 3600 and len(set(zip(i.tolist(), j.tolist(), strict=True))) == 3600
    assert len(within(rows[:0], rows, 31)[0]) == 0


def test_the_mirrored_hash_is_the_hash_of_the_mirrored_picture(draw: Callable[..., Image.Image]) -> None:
    image = draw("triangle", "red", 3)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert measure(image)["pdq_mirrored"] == pdq(to_array(mirrored))[0] == measure(mirrored)["pdq"]


def test_a_blank_picture_is_measured_as_blank() -> None:
    blank = measure(Image.new("RGB", (64, 48), (250, 240, 230)))
    assert blank["contrast"] == 0 and blank["entropy"] == 0 and blank["flat_share"] == 1


@pytest.mark.parametrize("text", ['{"hashes": [{"pdq": "12"}]}', '{"hashes": [1]}', "[]", "{"])
def test_a_block_list_that_is_none_is_a_sentence(store: Store, text: str) -> None:
    store.write_bytes("list.json", text.encode())
    with pytest.raises(UserError, match=r"list\.json"):
        load_block_list(store, "list.json")

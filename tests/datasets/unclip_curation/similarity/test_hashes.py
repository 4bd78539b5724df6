"""Tests of perceptual hashes: the banded index finds exactly what comparing all pairs finds."""

import io
from collections.abc import Callable

import numpy as np
import pdqhash
import pytest
from PIL import Image

from unclip_curation.schemas import BITS, TURNS
from unclip_curation.scorers.pictures import fingerprint, measure
from unclip_curation.similarity.hashes import bands_for, hamming, load_block_list, pdq, pdq_turns, stacked, turned, within
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


@pytest.mark.parametrize("rows", [10, 1_000, 100_000, 1_000_000, 20_000_000])
@pytest.mark.parametrize("radius", [0, 5, 31])
def test_bands_leave_no_pair_within_the_radius_out_at_any_size(rows: int, radius: int) -> None:
    bands = bands_for(rows, radius)
    assert sum(band.tolerance + 1 for band in bands) == radius + 1, "the pigeonhole principle needs no more and no less"
    ends = [band.first + band.width for band in bands]
    assert all(band.first >= end for band, end in zip(bands[1:], ends, strict=False)) and ends[-1] <= BITS, "bands do not overlap"


def test_wide_bands_find_pairs_whose_bits_differ_as_unluckily_as_can_be() -> None:
    for rows in (1_000, 1_000_000):
        bits = np.zeros((2, BITS), dtype=np.uint8)
        for band in bands_for(rows, 31):
            bits[1, band.first : band.first + band.tolerance + 1] = 1  # one more than each band tolerates ...
        bits[1, bands_for(rows, 31)[-1].first] = 0  # ... but for one
        a, b = np.packbits(bits, axis=1)
        assert hamming(a[None], b[None])[0] == 31
        met = [band.values(a[None])[0] ^ band.values(b[None])[0] in band.flips() for band in bands_for(rows, 31)]
        assert met.count(True) == 1


def test_a_turned_picture_has_the_turned_hash(draw: Callable[..., Image.Image]) -> None:
    image = draw("triangle", "red", 3, side=200).resize((200, 150))
    hashes = stacked([pdq_turns(image)[0]])
    for turn in range(TURNS):
        pixels = np.rot90(to_array(image), turn % 4)
        copy = Image.fromarray(np.ascontiguousarray(pixels[:, ::-1] if turn >= 4 else pixels))
        distances = hamming(hashes, stacked([pdq_turns(copy)[0]])[:1].repeat(TURNS, axis=0))
        assert distances.argmin() == turn and distances[turn] <= 6
        grids = [to_array(one.resize((16, 16), Image.Resampling.BOX))[None] for one in (image, copy)]
        assert np.abs(turned(grids[0], np.array([turn])).astype(int) - grids[1]).mean() < 2


def test_eight_orientations_from_one_transform_are_those_of_the_pdqhash_library() -> None:
    rng, order = np.random.default_rng(0), [0, 1, 2, 3, 5, 7, 4, 6]  # where the library puts each of our orientations
    for _ in range(50):
        cells = rng.integers(0, 256, (int(rng.integers(3, 30)), int(rng.integers(3, 30)))).astype(np.uint8)
        image = Image.fromarray(cells).resize((200, 150), Image.Resampling.BICUBIC)
        thumbnail = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
        theirs, quality = pdqhash.compute_dihedral(np.repeat(thumbnail[:, :, None], 3, axis=2))
        mine, my_quality = pdq_turns(image)
        bits = np.unpackbits(stacked([mine]), axis=1)
        assert (bits != np.asarray(theirs)[order]).sum(axis=1).max() <= 2, "float32 of theirs, at most a bit or two beside the median"
        assert my_quality == quality


def test_a_copy_of_half_the_size_has_nearly_the_same_hash(draw: Callable[..., Image.Image]) -> None:
    image = draw("cross", "blue", 3, side=250)
    hashes = stacked([pdq_turns(image)[0], pdq_turns(image.resize((125, 125), Image.Resampling.LANCZOS))[0]])
    assert hamming(hashes[:1], hashes[8:9])[0] <= 8


def test_a_jpeg_unpacked_small_has_nearly_the_same_fingerprint(draw: Callable[..., Image.Image]) -> None:
    buffer = io.BytesIO()
    draw("triangle", "red", 3, side=400).save(buffer, "JPEG", quality=90)
    whole, small = (fingerprint(buffer.getvalue(), pixels=pixels) for pixels in (True, False))
    assert whole["pixels_sha256"] is not None and small["pixels_sha256"] is None
    assert hamming(stacked([whole["pdq_turns"]]), stacked([small["pdq_turns"]])).max() <= 16
    grids = [np.frombuffer(one["grid"], dtype=np.uint8).astype(int) for one in (whole, small)]
    assert np.abs(grids[0] - grids[1]).mean() < 2


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

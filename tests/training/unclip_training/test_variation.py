"""Tests of what is drawn for a pair while it is learned: one of its captions, fewer words, a picture moved or mirrored."""

import contextlib
import json
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
import torch
from torch import Tensor
from webdataset import WebDataset

from unclip_pairs.shards import read_shard, write_shard
from unclip_pairs.store import Store
from unclip_training.config import AnyRun
from unclip_training.data.batches import BatchSlice, MemoryBatches, Reading, SamplingOrder
from unclip_training.data.captions import caption_table, without_words
from unclip_training.data.decoded_cache import decoded_pairs
from unclip_training.data.pair_source import pairs_source
from unclip_training.data.streaming import RequiredColumns, streamed
from unclip_training.data.variation import Variation, may_be_mirrored, varied_pictures

MORE = ("on the left", "a shape", "something drawn in colour")


def encode(captions: Sequence[str]) -> Tensor:
    """A caption as the numbers of its letters."""
    return torch.tensor([[ord(letter) for letter in caption.ljust(40)] for caption in captions])


def decoded(tokens_BS: Tensor) -> list[str]:
    return ["".join(map(chr, row)).strip() for row in tokens_BS.tolist()]


@pytest.fixture
def captioned(many_shards: Store) -> Store:
    """The drawn shapes, each pair with `MORE` captions beside its own."""
    for shard in pairs_source(many_shards, "v-shapes").shards:
        samples = list(read_shard(many_shards, shard))
        for sample in samples:
            sample["captions.json"] = json.dumps([bytes(sample["txt"]).decode(), *MORE]).encode()  # type: ignore[arg-type]
        write_shard(many_shards, shard, samples, pyarrow.parquet.read_table(many_shards.path(f"{shard}.parquet")))
    return many_shards


def batches(store: Store, variation: Variation, **of_slice: int) -> MemoryBatches:
    """The batches of eight pairs of the captioned shapes, with pictures of 32 px."""
    pairs = decoded_pairs(store, pairs_source(store, "v-shapes"), 32)
    reading = Reading(required=RequiredColumns(side=32, embeddings=False, captions=True, variation=variation), encode=encode)
    batch_slice = BatchSlice(batch_size=8, seed=of_slice.pop("seed", 0), **of_slice)
    return MemoryBatches(
        reading.pair_columns(pairs), SamplingOrder(pairs.weights, 0), batch_slice, reading.caption_columns(pairs), variation
    )


def test_each_step_draws_one_caption_of_each_pair_and_finds_it_again(captioned: Store) -> None:
    first = batches(captioned, Variation())
    seen = [caption for step in range(30) for caption in decoded(first.batch(step)["tokens"])]
    shares = {caption: seen.count(caption) / len(seen) for caption in MORE}
    assert all(0.15 < share < 0.35 for share in shares.values()), shares
    again = batches(captioned, Variation())
    assert torch.equal(again.batch(17)["tokens"], first.batch(17)["tokens"]), "by seed and step alone"
    assert not torch.equal(batches(captioned, Variation(), seed=1).batch(17)["tokens"], first.batch(17)["tokens"])


def test_two_processes_draw_what_one_draws(captioned: Store) -> None:
    whole = decoded(batches(captioned, Variation()).batch(3)["tokens"])
    parts = [decoded(batches(captioned, Variation(), rank=rank, world=2).batch(3)["tokens"]) for rank in (0, 1)]
    assert whole[0::2] == parts[0] and whole[1::2] == parts[1]


# webdataset leaves the closing of a tar to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stream_draws_captions_too_and_the_same_ones_again(captioned: Store) -> None:
    required = RequiredColumns(side=32, embeddings=False, captions=True, variation=Variation(drop_words=0.3, shift=2, flip=True))

    def some(seed: int) -> list[str]:
        stream: WebDataset = streamed(captioned, pairs_source(captioned, "v-shapes"), required, encode, 8, seed)
        opened = iter(stream)
        assert isinstance(opened, Generator)
        with contextlib.closing(opened):
            return [caption for _ in range(8) for caption in decoded(next(opened)["tokens"])]

    assert some(0) == some(0) != some(1)
    assert {"a shape", "on the left"} < set(some(0))


def test_words_are_left_out_in_training_but_never_all() -> None:
    generator = np.random.default_rng(0)
    kept = [len(without_words("one two three four", 0.5, generator).split()) for _ in range(400)]
    assert min(kept) == 1 and max(kept) == 4 and 1.9 < np.mean(kept) < 2.3
    assert without_words("one two", 0.0, generator) == "one two" and without_words("", 0.5, generator) == ""


def test_the_table_names_every_caption_once() -> None:
    table = caption_table([("a", "b"), ("b",), ("c", "a", "d")])
    assert table.texts == ["a", "b", "c", "d"]
    rows = table.drawn(np.array([0, 1, 2, 2]), np.array([0.99, 0.99, 0.0, 0.5]))
    assert [table.texts[row] for row in rows] == ["b", "b", "c", "a"]


@pytest.mark.parametrize(
    ("caption", "may"),
    [("a cat facing left", False), ("the RIGHT one", False), ("leftmost of two", False), ("a bright leftover", True), ("a cat", True)],
)
def test_a_caption_that_names_a_side_forbids_the_mirror(caption: str, may: bool) -> None:
    assert may_be_mirrored(caption) is may


def test_a_picture_is_mirrored_only_where_its_caption_allows_and_moved_with_its_edge_repeated() -> None:
    picture = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1).expand(2, 4, 4, 3)
    draws, allowed = np.array([[0.1, 0.5, 0.5], [0.1, 0.5, 0.5]]), np.array([True, False])
    mirrored = varied_pictures(picture, draws, allowed, Variation(flip=True))
    assert torch.equal(mirrored[0], picture[0].flip(1)) and torch.equal(mirrored[1], picture[1])
    down = varied_pictures(picture, np.array([[0.9, 0.0, 0.5]] * 2), allowed, Variation(shift=1))
    assert torch.equal(down[0, :3, :, 0], picture[0, [0, 0, 1], :, 0]) or torch.equal(down[0, :3, :, 0], picture[0, 1:, :, 0])
    assert varied_pictures(picture, draws, allowed, Variation()) is picture


def test_clip_reads_the_caption_that_is_drawn(captioned: Store) -> None:
    pairs = decoded_pairs(captioned, pairs_source(captioned, "v-shapes"), 32)
    required = RequiredColumns(side=None, embeddings=True, captions=True)

    def read(texts: Sequence[str]) -> dict[str, Tensor]:
        return {"clip_text": encode(texts).float() / 100}

    def columns(reading: Reading) -> dict[str, Tensor]:
        order, batch_slice = SamplingOrder(pairs.weights, 0), BatchSlice(batch_size=31, seed=0)
        return MemoryBatches(reading.pair_columns(pairs), order, batch_slice, reading.caption_columns(pairs), Variation()).batch(0)

    beforehand = columns(Reading(required=required, encode=encode, read=read, most_read=1000))
    assert torch.equal(beforehand["clip_text"], beforehand["tokens"].float() / 100)
    captions = Reading(required=required, encode=encode, read=read, most_read=3).caption_columns(pairs)
    assert captions is not None and set(captions.columns) == {"tokens"}, (
        "too many for so few steps: the frozen CLIP reads them as they come"
    )


def test_a_run_refuses_a_variation_that_makes_no_sense(small_runs: dict[str, AnyRun]) -> None:
    for stage, change, sentence in (
        ("clip", {"drop_words": 1.0}, r"drop_words 1.0 must lie in \[0, 1\)"),
        ("decoder", {"shift": 32}, "shift 32 between 0 and the side 32"),
        ("prior", {"flip": True}, "the prior reads no pictures; leave shift and flip out"),
    ):
        with pytest.raises(ValueError, match=sentence):
            replace(small_runs[stage], **change)  # type: ignore[arg-type]

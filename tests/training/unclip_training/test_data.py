"""These tests read pairs in every way a stage may read them, and hold their order still."""

import contextlib
import io
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor
from webdataset import WebDataset

from unclip_curation.caption_lists import CAPTION_LIST_SCHEMA
from unclip_curation.embeddings.blurring import area, blurred
from unclip_curation.splits import VALIDATION_KEYS, write_keys
from unclip_pairs.errors import UserError
from unclip_pairs.images import decode, encode_png, to_array
from unclip_pairs.manifest import make_manifest, read_manifest, write_manifest
from unclip_pairs.shards import picture_bytes, write_parquet, write_shard
from unclip_pairs.store import Store
from unclip_training.data.batches import BatchSlice, MemoryBatches, SamplingOrder, columns_of
from unclip_training.data.decoded_cache import decoded_pairs, shrink
from unclip_training.data.pair_source import PairSource, pairs_source, raw_samples, read_vector, sample_weights
from unclip_training.data.streaming import RequiredColumns, check_shards, streamed
from unclip_training.optim import Ema, Optim, make_optimizer, rate_at
from unclip_training.precision import bf16_is_fast, chosen


def encode(captions: Sequence[str]) -> Tensor:
    """Three numbers for a caption: enough of a tokenizer for these tests."""
    return torch.tensor([[len(caption), ord(caption[0]), ord(caption[-1])] for caption in captions])


def opened(stream: WebDataset) -> Generator[dict[str, Tensor]]:
    """The stream as a generator that can be closed."""
    found = iter(stream)
    assert isinstance(found, Generator)
    return found


def raw_pictures(store: Store, source: PairSource) -> Iterator[tuple[str, Image.Image]]:
    """Each key with its picture as it leaves for a training."""
    for sample in raw_samples(store, source):
        yield str(sample["__key__"]), decode(picture_bytes(sample))


def test_a_published_version_is_read_without_its_held_out_pairs(shapes: Store) -> None:
    source, held_out = pairs_source(shapes, "v-shapes"), pairs_source(shapes, "v-shapes", "held_out")
    pairs = decoded_pairs(shapes, source, 32)
    assert len(pairs) == source.count == 31 and held_out.count == 1
    assert pairs.pictures.shape == (31, 128, 128, 3) and pairs.at(32).shape == (31, 32, 32, 3)
    assert pairs.clip_image is not None and pairs.clip_image.shape == (31, 16)
    assert source.digest != held_out.digest


def test_decoding_happens_once(shapes: Store) -> None:
    source = pairs_source(shapes, "v-shapes")
    heard: list[int] = []
    decoded_pairs(shapes, source, 32, heard.append)
    decoded_pairs(shapes, source, 64, heard.append)
    assert heard == [31]


def captioned(store: Store, captions: bytes | None) -> PairSource:
    """A version of one pair whose caption is "a dog", with this captions.json."""
    sample = {"__key__": "aa", "png": encode_png(Image.new("RGB", (8, 8))), "txt": b"a dog"}
    rows = pa.table({"key": ["aa"]})
    write_shard(store, "datasets/v-one/train-00000", [sample | ({"captions.json": captions} if captions else {})], rows)
    write_manifest(store, "datasets/v-one/manifest.json", make_manifest(store, "dataset", ["datasets/v-one/train-00000.json"]))
    return pairs_source(store, "v-one")


def test_a_pair_has_all_its_captions_best_first(crawled: Store) -> None:
    source = captioned(crawled, b'["a dog", "a dog that runs"]')
    for _ in ("made", "from the cache"):
        pairs = decoded_pairs(crawled, source, 32)
        assert (pairs.captions, pairs.captions_of) == (["a dog"], [("a dog", "a dog that runs")])


def test_a_shard_without_candidates_has_the_caption_alone(crawled: Store) -> None:
    assert decoded_pairs(crawled, captioned(crawled, None), 32).captions_of == [("a dog",)]


@pytest.mark.parametrize("damaged", [b"[]", b"{", b'["a dog", 1]', b'"a dog"', b"\xff"])
def test_damaged_candidates_are_named(crawled: Store, damaged: bytes) -> None:
    with pytest.raises(UserError, match=r"captions.json of the pair aa is no list of texts"):
        decoded_pairs(crawled, captioned(crawled, damaged), 32)


def test_a_half_written_cache_is_made_again(shapes: Store) -> None:
    source = pairs_source(shapes, "v-shapes")
    decoded_pairs(shapes, source, 32)
    shapes.path(f"cache/{source.digest12}-128/pictures.npy").unlink()
    assert len(decoded_pairs(shapes, source, 32)) == 31


def test_the_safe_set_is_the_crawl_less_what_was_refused_and_what_is_held_out(crawled: Store) -> None:
    before = pairs_source(crawled, "safe")
    held = sorted(before.keys or [])[:3]
    write_parquet(crawled, "verdicts/held_out.parquet", pa.table({"key": held}))
    after = pairs_source(crawled, "safe")
    assert before.count == 30 and after.count == 27 and before.digest != after.digest
    assert set(decoded_pairs(crawled, after, 32).keys).isdisjoint(held)


def test_the_safe_set_is_without_validation_and_has_the_chosen_captions(crawled: Store) -> None:
    before = pairs_source(crawled, "safe")
    first, second, *rest = sorted(before.keys or [])
    write_keys(crawled, VALIDATION_KEYS, [first])
    lists = [{"key": second, "texts": ["in other words"], "sources": ["title"]}]
    write_parquet(crawled, "verdicts/captions.parquet", pa.Table.from_pylist(lists, schema=CAPTION_LIST_SCHEMA))
    verdict = read_manifest(crawled, "verdicts/safety.json")
    assert verdict is not None
    inputs = {"verdicts/safety": verdict.digest}
    write_manifest(crawled, "verdicts/captions.json", make_manifest(crawled, "verdicts", ["verdicts/captions.parquet"], inputs=inputs))
    pairs = decoded_pairs(crawled, pairs_source(crawled, "safe"), 32)
    captions = dict(zip(pairs.keys, pairs.captions_of, strict=True))
    assert first not in captions and captions[second][1:] == ("in other words",) and len(captions[rest[0]]) == 1


def test_clip_sees_faces_of_the_safe_set_blurred(crawled: Store) -> None:
    clear = pairs_source(crawled, "safe")
    keys, box = sorted(clear.keys or []), {"x": 0.3, "y": 0.3, "width": 0.4, "height": 0.4}
    asked = pa.table({"key": keys, "keep": [True] * 30, "blur": [[box], *[None] * 29]})
    write_parquet(crawled, "verdicts/safety.parquet", asked)
    write_manifest(crawled, "verdicts/safety.json", make_manifest(crawled, "verdicts", ["verdicts/safety.parquet"]))
    before, after = (decoded_pairs(crawled, source, 32) for source in (clear, pairs_source(crawled, "safe")))
    assert before.keys == after.keys
    changed = [key for key, a, b in zip(before.keys, before.pictures, after.pictures, strict=True) if (a != b).any()]
    assert changed == keys[:1]
    streams = (dict(raw_pictures(crawled, source)) for source in (clear, pairs_source(crawled, "safe")))
    a, b = (stream[keys[0]] for stream in streams)
    left, top, right, bottom = area(box, a.size)
    outside = np.ones((a.height, a.width), dtype=bool)
    outside[top:bottom, left:right] = False
    assert (to_array(a)[outside] == to_array(b)[outside]).all() and (to_array(a) != to_array(b)).any()
    assert (to_array(b) == to_array(blurred(a, [box]))).all()


def test_a_new_verdict_is_a_new_source(crawled: Store) -> None:
    before = pairs_source(crawled, "safe")
    write_parquet(crawled, "verdicts/safety.parquet", pa.table({"key": sorted(before.keys or []), "keep": [True] * 30}))
    write_manifest(crawled, "verdicts/safety.json", make_manifest(crawled, "verdicts", ["verdicts/safety.parquet"]))
    assert pairs_source(crawled, "safe").digest != before.digest


def test_pickled_vectors_are_refused() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_vector(buffer.getvalue())


def test_shrinking_takes_the_mean_of_what_a_pixel_stands_for() -> None:
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[0, :2, :2] = [[[0, 0, 0], [100, 100, 100]], [[200, 200, 200], [100, 100, 100]]]
    assert shrink(picture, 2)[0, 0, 0].tolist() == [100, 100, 100]


def test_each_pass_shows_every_pair_once_in_a_new_order() -> None:
    order = SamplingOrder(np.ones(10), seed=3)
    first, second = order.at(0, 10), order.at(10, 10)
    assert sorted(first) == sorted(second) == list(range(10)) and first.tolist() != second.tolist()
    np.testing.assert_array_equal(SamplingOrder(np.ones(10), seed=3).at(7, 8), np.concatenate([first[7:], second[:5]]))


def test_a_heavy_pair_is_seen_more_often() -> None:
    seen = np.bincount(SamplingOrder(np.array([1.0, 1.0, 8.0]), seed=0).at(0, 3000), minlength=3)
    assert seen[2] > 2000 and seen[0] > 100


def test_batches_from_a_later_step_are_those_of_an_uninterrupted_run(shapes: Store) -> None:
    pairs = decoded_pairs(shapes, pairs_source(shapes, "v-shapes"), 32)
    columns = columns_of(pairs, RequiredColumns(side=32, embeddings=True, captions=True), encode)
    order = SamplingOrder(pairs.weights, 0)
    whole = iter(MemoryBatches(columns, order, BatchSlice(batch_size=8, seed=0)))
    batches = [next(whole) for _ in range(6)]
    resumed = next(iter(MemoryBatches(columns, order, BatchSlice(batch_size=8, seed=0, start=5))))
    assert all(torch.equal(resumed[name], batches[5][name]) for name in columns)
    assert resumed["pictures"].dtype == torch.uint8 and resumed["tokens"].shape == (8, 3)


def test_two_processes_share_a_batch_without_overlap(shapes: Store) -> None:
    columns = {"tokens": torch.arange(31)}
    order = SamplingOrder(np.ones(31), 0)
    parts = [MemoryBatches(columns, order, BatchSlice(batch_size=8, seed=0, rank=rank, world=2)).batch(3)["tokens"] for rank in (0, 1)]
    whole = MemoryBatches(columns, order, BatchSlice(batch_size=8, seed=0)).batch(3)["tokens"]
    assert sorted(torch.cat(parts).tolist()) == sorted(whole.tolist())
    with pytest.raises(ValueError, match="cannot be shared by 3"):
        BatchSlice(batch_size=8, seed=0, world=3)


# webdataset leaves the closing of a tar to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_streamed_batches_hold_what_memory_batches_hold(many_shards: Store) -> None:
    source = pairs_source(many_shards, "v-shapes")
    required = RequiredColumns(side=32, embeddings=True, captions=True)
    with contextlib.closing(opened(streamed(many_shards, source, required, encode, 8, 0))) as stream:
        batches = [next(stream) for _ in range(4)]
    assert {name: tuple(value.shape[1:]) for name, value in batches[0].items()} == {
        "weight": (),
        "pictures": (32, 32, 3),
        "clip_image": (16,),
        "clip_text": (16,),
        "tokens": (3,),
    }
    one_pass = torch.cat([batch["clip_image"] for batch in batches])
    assert len(one_pass) == 31 and len(torch.unique(one_pass, dim=0)) == 31


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_streaming_leaves_out_what_the_verdict_refused(crawled: Store) -> None:
    source = pairs_source(crawled, "safe")
    required = RequiredColumns(side=None, embeddings=False, captions=True)
    with contextlib.closing(opened(streamed(crawled, source, required, encode, 31, 0))) as stream:
        assert len(next(stream)["tokens"]) == 30


def test_too_few_shards_are_refused_before_a_reader_waits_for_ever() -> None:
    check_shards(4, processes=2, workers=2)
    with pytest.raises(UserError, match="3 shards cannot feed 4 readers"):
        check_shards(3, processes=2, workers=2)


def test_weights_come_from_the_sidecar(shapes: Store) -> None:
    assert set(sample_weights(shapes, pairs_source(shapes, "v-shapes")).values()) == {1.0}


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [rate_at(step, warmup=10, steps=100) for step in range(101)]
    assert rates[0] < 0.1 and max(rates) == rates[10] == 1.0 and rates[100] == 0.0
    assert rate_at(100, 10, 100, final_share=1.0) == 1.0


def test_vectors_are_not_decayed() -> None:
    optimizer = make_optimizer(torch.nn.Linear(3, 2), Optim(lr=1e-3, warmup=0, weight_decay=0.1))
    assert [(group["weight_decay"], group["params"][0].ndim) for group in optimizer.param_groups] == [(0.1, 2), (0.0, 1)]


def test_the_average_follows_and_can_be_exchanged_for_the_weights() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    ema = Ema([weight], decay=0.9)
    with torch.no_grad():
        weight.fill_(1.0)
    for _ in range(5):
        ema.update([weight])
    average = ema.values[0].clone()
    assert 0 < float(average[0]) < 1
    ema.swap([weight])
    assert torch.equal(weight.detach(), average) and torch.equal(ema.values[0], torch.ones(3))
    ema.swap([weight])
    assert torch.equal(weight.detach(), torch.ones(3))


def test_bf16_is_chosen_only_where_it_is_quick() -> None:
    assert chosen("auto") == ("bf16-mixed" if bf16_is_fast() else "32-true")
    assert chosen("bf16") == "bf16-mixed" and chosen("float32") == "32-true"

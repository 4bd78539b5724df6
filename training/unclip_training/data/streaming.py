"""Streaming: pairs read with WebDataset straight from their shards, for sets that do not fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import numpy as np
import torch
import webdataset
from torch import Tensor

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.data.captions import without_words
from unclip_training.data.pair_source import PairSample, PairSource, RawSample, as_learned, sample_weights, unpack
from unclip_training.data.variation import NUM_DRAWS, Variation, may_be_mirrored, varied_pictures

SHUFFLE_BUFFER = 1000
Encode = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True, kw_only=True)
class RequiredColumns:
    """What a stage reads of a pair: the side of its pictures (None: no pictures), whether embeddings and captions; how it is varied."""

    side: int | None
    embeddings: bool
    captions: bool
    variation: Variation = field(default_factory=Variation)


def check_shards(shards: int, processes: int, workers: int) -> None:
    """`UserError` when some reader would get no shard: it would wait for ever, and the others for it."""
    readers = processes * max(workers, 1)
    if shards < readers:
        raise UserError(
            f"{shards} shards cannot feed {readers} readers ({processes} processes x {max(workers, 1)} workers); "
            "publish with more shards, or use fewer processes"
        )


def _chosen(sample: RawSample, keys: frozenset[str] | None) -> bool:
    return keys is None or sample["__key__"] in keys


def _rows(
    samples: Iterator[RawSample], required: RequiredColumns, encode: Encode | None, weights: dict[str, float], seed: int
) -> Iterator[dict[str, Tensor]]:
    """Each pair as tensors; what is drawn for it depends on the seed, its key, and how many this process has read before it."""
    for number, sample in enumerate(samples):
        pair = unpack(sample, required.side or 8)
        yield _row(pair, required, encode, np.random.default_rng((seed, number, crc32(pair.key.encode())))) | {
            "weight": torch.tensor(weights.get(pair.key, 1.0))
        }


def _row(pair: PairSample, required: RequiredColumns, encode: Encode | None, generator: np.random.Generator) -> dict[str, Tensor]:
    """One pair with one of its captions, in the form of `batches.columns_of`."""
    row, variation = dict[str, Tensor](), required.variation
    caption = pair.captions[int(generator.integers(len(pair.captions)))]
    if required.side is not None:
        said = [caption] if required.captions else pair.captions
        mirrorable = np.array([all(map(may_be_mirrored, said))])
        row["pictures"] = varied_pictures(torch.from_numpy(pair.picture)[None], generator.random((1, NUM_DRAWS)), mirrorable, variation)[0]
    if required.embeddings:
        assert pair.clip_image is not None and pair.clip_text is not None, "these shards hold no embeddings"
        row |= {"clip_image": torch.from_numpy(pair.clip_image), "clip_text": torch.from_numpy(pair.clip_text)}
    if required.captions:
        assert encode is not None
        row["tokens"] = encode([without_words(caption, variation.drop_words, generator)])[0]
    return row


def _stacked(rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0] if not name.startswith("__")}


def batched(rows: Iterator[dict[str, Tensor]], size: int) -> Iterator[dict[str, Tensor]]:
    """Batches of `size`; the last one of a pass may be smaller."""
    held: list[dict[str, Tensor]] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield _stacked(held)
            held = []
    if held:
        yield _stacked(held)


def streamed(
    store: Store, source: PairSource, required: RequiredColumns, encode: Encode | None, batch_size: int, seed: int
) -> webdataset.WebDataset:
    """An endless stream of batches: shards dealt to processes and workers, shuffled, decoded by our own decoder (nothing is unpickled).

    "weight" [B] is the pair's weight, which the loss multiplies (in memory, the sampler draws by it instead).
    """
    weights = sample_weights(store, source)
    stream = webdataset.WebDataset(
        [str(store.path(f"{shard}.tar")) for shard in source.shards],
        nodesplitter=webdataset.split_by_node,
        workersplitter=webdataset.split_by_worker,
        shardshuffle=len(source.shards),
        detshuffle=True,
        seed=seed,
    )
    stream = stream.repeat().select(partial(_chosen, keys=source.keys)).shuffle(SHUFFLE_BUFFER, seed=seed)
    stream = stream.map(partial(as_learned, source=source))
    stream = stream.compose(partial(_rows, required=required, encode=encode, weights=weights, seed=seed))
    return stream.compose(partial(batched, size=batch_size))

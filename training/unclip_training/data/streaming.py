"""Streaming: pairs read with WebDataset straight from their shards, for sets that do not fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import webdataset
from torch import Tensor

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.data.pair_source import PairSource, RawSample, as_learned, sample_weights, unpack

SHUFFLE_BUFFER = 1000
Encode = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True, kw_only=True)
class RequiredColumns:
    """What a stage reads of a pair: the side of its pictures (None: no pictures), whether embeddings, whether captions."""

    side: int | None
    embeddings: bool
    captions: bool


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


def _row(sample: RawSample, required: RequiredColumns, encode: Encode | None, weights: dict[str, float]) -> dict[str, Tensor]:
    """One pair as tensors, in the form of `batches.columns_of`."""
    pair = unpack(sample, required.side or 8)
    row = {"weight": torch.tensor(weights.get(pair.key, 1.0))}
    if required.side is not None:
        row["pictures"] = torch.from_numpy(pair.picture)
    if required.embeddings:
        assert pair.clip_image is not None and pair.clip_text is not None, "these shards hold no embeddings"
        row |= {"clip_image": torch.from_numpy(pair.clip_image), "clip_text": torch.from_numpy(pair.clip_text)}
    if required.captions:
        assert encode is not None
        row["tokens"] = encode([pair.caption])[0]
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
    stream = stream.map(partial(as_learned, source=source)).map(partial(_row, required=required, encode=encode, weights=weights))
    return stream.compose(partial(batched, size=batch_size))

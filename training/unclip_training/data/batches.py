"""Batches: from memory when the set is small, streamed from its shards when it is not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import DecodedPairs, decoded_pairs, first_pairs
from unclip_training.data.pair_source import PairSource
from unclip_training.data.streaming import Encode, RequiredColumns, check_shards, streamed

Batch = dict[str, Tensor]
More = Callable[[DecodedPairs], Batch]
Floats = NDArray[np.float32] | NDArray[np.float64]
IN_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True, kw_only=True)
class BatchSlice:
    """Which part of the stream of batches this process takes, and from which step on."""

    batch_size: int
    seed: int
    start: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch_size % self.world:
            raise ValueError(f"batch_size {self.batch_size} cannot be shared by {self.world} processes; choose a multiple of {self.world}")


class SamplingOrder:
    """The order in which N pairs are seen: a new one each pass, drawn from the seed and the pass alone: any step can be found again.

    With unequal weights, a pass draws N pairs with replacement, each in proportion to its weight.
    """

    def __init__(self, weights: Floats, seed: int) -> None:
        self.count, self.seed = len(weights), seed
        self.probabilities = None if np.ptp(weights) == 0 else weights.astype(np.float64) / weights.sum(dtype=np.float64)
        self._passes: dict[int, NDArray[np.int64]] = {}

    def of_pass(self, number: int) -> NDArray[np.int64]:
        """int64 [N]: the pairs of the pass in their order."""
        if number not in self._passes:
            generator = np.random.default_rng((self.seed, number))
            drawn = (
                generator.permutation(self.count)
                if self.probabilities is None
                else generator.choice(self.count, self.count, p=self.probabilities)
            )
            self._passes = {n: order for n, order in self._passes.items() if n == number - 1} | {number: drawn}
        return self._passes[number]

    def at(self, first: int, count: int) -> NDArray[np.int64]:
        """int64 [count]: what is seen from the place `first` of the endless sequence on."""
        places = np.arange(first, first + count)
        passes = places // self.count
        return np.concatenate([self.of_pass(int(n))[places[passes == n] % self.count] for n in np.unique(passes)])


class MemoryBatches:
    """An endless iterable of batches gathered from tensors that lie in memory."""

    def __init__(self, columns: Batch, order: SamplingOrder, batch_slice: BatchSlice) -> None:
        self.columns, self.order, self.batch_slice = columns, order, batch_slice

    def __iter__(self) -> Iterator[Batch]:
        step = self.batch_slice.start
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of `step`."""
        batch_slice = self.batch_slice
        mine = self.order.at(step * batch_slice.batch_size, batch_slice.batch_size)[batch_slice.rank :: batch_slice.world]
        index = torch.from_numpy(np.ascontiguousarray(mine))
        return {name: column[index] for name, column in self.columns.items()}


def columns_of(pairs: DecodedPairs, required: RequiredColumns, encode: Encode | None) -> Batch:
    """The tensors a stage required: pictures uint8 [N, S, S, 3], clip_image and clip_text float32 [N, D], tokens int64 [N, context]."""
    columns: Batch = {}
    if required.side is not None:
        columns["pictures"] = torch.from_numpy(np.array(pairs.at(required.side)))
    if required.embeddings:
        assert pairs.clip_image is not None and pairs.clip_text is not None, "these shards hold no embeddings"
        columns["clip_image"] = torch.from_numpy(np.array(pairs.clip_image))
        columns["clip_text"] = torch.from_numpy(np.array(pairs.clip_text))
    if required.captions:
        assert encode is not None
        columns["tokens"] = encode(pairs.captions)
    return columns


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a stage learns from, and the pairs on which its validation loss is measured (None: it is not)."""

    training: PairSource
    validation: PairSource | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a stage reads pairs: `encode` makes tokens of captions, `more` further columns of pairs that lie in memory.

    `prepare` is called once, with the whole training set in memory, before the first batch.
    """

    required: RequiredColumns
    encode: Encode | None = None
    more: More | None = None
    prepare: Callable[[DecodedPairs], None] | None = None

    def columns(self, pairs: DecodedPairs) -> Batch:
        """All columns of these pairs."""
        return columns_of(pairs, self.required, self.encode) | (self.more(pairs) if self.more is not None else {})


class PairsData(LightningDataModule):
    """The batches of one training. In memory the order is exact after a resume; streamed, a resume draws a new one from seed and step."""

    def __init__(self, store: Store, sources: Sources, reading: Reading, batch_slice: BatchSlice, workers: int = 2) -> None:
        super().__init__()
        self.store, self.source, self.validation = store, sources.training, sources.validation
        self.reading, self.required, self.batch_slice, self.workers = reading, reading.required, batch_slice, workers
        self.in_memory_bytes = IN_MEMORY_BYTES
        self._columns: Batch | None = None
        self._order: SamplingOrder | None = None

    @property
    def fits_in_memory(self) -> bool:
        """Whether the decoded pictures stay below the bound."""
        side = max(self.required.side or 0, 128)
        return self.source.count * side * side * 3 <= self.in_memory_bytes

    def setup(self, stage: str | None = None) -> None:
        """Unpacks the set once when it fits."""
        if self.fits_in_memory and self._columns is None:
            pairs = decoded_pairs(self.store, self.source, self.required.side or 0)
            if self.reading.prepare is not None:
                self.reading.prepare(pairs)
            self._columns = self.reading.columns(pairs)
            self._order = SamplingOrder(pairs.weights, self.batch_slice.seed)

    def train_dataloader(self) -> "MemoryBatches | DataLoader[Batch]":
        """Batches from the step the trainer has reached, this process's share of them."""
        trainer = self.trainer
        assert trainer is not None
        batch_slice = replace(self.batch_slice, start=trainer.global_step, rank=trainer.global_rank, world=trainer.world_size)
        if self._columns is not None and self._order is not None:
            return MemoryBatches(self._columns, self._order, batch_slice)
        check_shards(len(self.source.shards), batch_slice.world, self.workers)
        dataset = streamed(
            self.store,
            self.source,
            self.required,
            self.reading.encode,
            batch_slice.batch_size // batch_slice.world,
            batch_slice.seed + batch_slice.start,
        )
        return DataLoader(dataset, batch_size=None, num_workers=self.workers)

    def validation_batches(self, count: int) -> list[Batch]:
        """At most `count` validation pairs in batches of about one size, none larger than in training; none without a validation split."""
        if self.validation is None:
            return []
        columns = self.reading.columns(first_pairs(self.store, self.validation, self.required.side or 0, count))
        number = -(-min(count, self.validation.count) // self.batch_slice.batch_size)
        parts = {name: torch.chunk(column, number) for name, column in columns.items()}
        return [dict(zip(parts, batch, strict=True)) for batch in zip(*parts.values(), strict=True)]

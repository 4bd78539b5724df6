"""Batches: from memory when the set is small, streamed from its shards when it is not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from unclip_pairs.store import Store
from unclip_training.data.captions import CaptionTable, caption_table, without_words
from unclip_training.data.decoded_cache import DecodedPairs, decoded_pairs, first_pairs
from unclip_training.data.pair_source import PairSource
from unclip_training.data.streaming import Encode, RequiredColumns, check_shards, streamed
from unclip_training.data.variation import NUM_DRAWS, Variation, may_be_mirrored, varied_pictures
from unclip_training.precision import in_memory_bytes

Batch = dict[str, Tensor]
More = Callable[[DecodedPairs], Batch]
Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]
Read = Callable[[Sequence[str]], Batch]
READ_BYTES = 2**29
DRAWS_STREAM = 1  # of the random numbers that a seed gives; the order of the pairs takes others
MIRRORABLE = "mirrorable"  # a column bool [N] that is used up before a batch leaves
UNVARIED = Variation()


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


def _moved(columns: Batch, device: torch.device) -> Batch:
    return {name: column.to(device) for name, column in columns.items()}


def rows_of(columns: Batch, rows: Ints) -> Batch:
    """The chosen rows of each column, where the column lies."""
    index = torch.from_numpy(np.ascontiguousarray(rows))
    return {name: column[index.to(column.device)] for name, column in columns.items()}


@dataclass(frozen=True, kw_only=True)
class CaptionColumns:
    """The captions of a set, of which a batch has one for each pair: `columns` hold a row for each different caption."""

    table: CaptionTable
    columns: Batch
    encode: Encode

    def drawn(self, pairs: Ints, shares: NDArray[np.float64], drop_words: float, generator: np.random.Generator) -> tuple[Batch, list[str]]:
        """One caption of each of these pairs as `shares` in [0, 1) say: its columns and the whole captions.

        Where words are left out, the columns are tokens alone, and the frozen CLIP has to read them.
        """
        rows = self.table.drawn(pairs, shares)
        texts = [self.table.texts[row] for row in rows]
        if drop_words > 0:
            return {"tokens": self.encode([without_words(text, drop_words, generator) for text in texts])}, texts
        return rows_of(self.columns, rows), texts


class MemoryBatches:
    """An endless iterable of batches gathered from tensors that lie in memory; captions are drawn and pictures varied by seed and step."""

    def __init__(
        self,
        columns: Batch,
        order: SamplingOrder,
        batch_slice: BatchSlice,
        captions: CaptionColumns | None = None,
        variation: Variation = UNVARIED,
    ) -> None:
        self.columns, self.order, self.batch_slice = columns, order, batch_slice
        self.captions, self.variation = captions, variation

    def __iter__(self) -> Iterator[Batch]:
        step = self.batch_slice.start
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of `step`."""
        batch_slice = self.batch_slice
        mine = self.order.at(step * batch_slice.batch_size, batch_slice.batch_size)[batch_slice.rank :: batch_slice.world]
        batch = rows_of(self.columns, mine)
        generator = np.random.default_rng((batch_slice.seed, step, DRAWS_STREAM))
        draws = generator.random((batch_slice.batch_size, 1 + NUM_DRAWS))[batch_slice.rank :: batch_slice.world]
        mirrorable = batch.pop(MIRRORABLE).cpu().numpy() if MIRRORABLE in batch else np.ones(len(mine), bool)
        if self.captions is not None:
            of_captions, texts = self.captions.drawn(mine, draws[:, 0], self.variation.drop_words, generator)
            batch |= of_captions
            mirrorable = np.array([may_be_mirrored(text) for text in texts])
        if "pictures" in batch:
            batch["pictures"] = varied_pictures(batch["pictures"], draws[:, 1:], mirrorable, self.variation)
        return batch


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

    `read` gives further columns of captions (rows for each caption), and `most_read` says how many captions it is worth to read beforehand.
    `widen` adds views to a training set in memory; then `prepare` is called once, with the whole of it, before the first batch.
    """

    required: RequiredColumns
    encode: Encode | None = None
    read: Read | None = None
    most_read: int = 0
    more: More | None = None
    widen: Callable[[DecodedPairs], DecodedPairs] | None = None
    prepare: Callable[[DecodedPairs], None] | None = None

    def best_columns(self, pairs: DecodedPairs) -> Batch:
        """All columns of these pairs with the best caption of each, unvaried."""
        read = self.read(pairs.captions) if self.read is not None else {}
        return columns_of(pairs, self.required, self.encode) | self._more(pairs) | read

    def pair_columns(self, pairs: DecodedPairs) -> Batch:
        """The columns of these pairs that have nothing to do with the caption drawn."""
        columns = columns_of(pairs, replace(self.required, captions=False), None) | self._more(pairs)
        if self.required.variation.flip and not self.required.captions:
            columns[MIRRORABLE] = torch.from_numpy(pairs.mirrorable)
        return columns

    def caption_columns(self, pairs: DecodedPairs) -> CaptionColumns | None:
        """The columns of all captions; what `read` gives is among them unless it would take more than `READ_BYTES` or serve too seldom."""
        if not self.required.captions:
            return None
        assert self.encode is not None
        table = caption_table(pairs.captions_of)
        columns = {"tokens": self.encode(table.texts)}
        if self.read is not None and self._is_worth_reading(table.texts, self.read):
            columns |= self.read(table.texts)
        return CaptionColumns(table=table, columns=columns, encode=self.encode)

    def _is_worth_reading(self, texts: list[str], read: Read) -> bool:
        if self.required.variation.drop_words > 0 or len(texts) > self.most_read:
            return False
        size = sum(column.numel() * column.element_size() for column in read(texts[:1]).values())
        return size * len(texts) <= READ_BYTES

    def _more(self, pairs: DecodedPairs) -> Batch:
        return self.more(pairs) if self.more is not None else {}


class PairsData(LightningDataModule):
    """The batches of one training. In memory the order is exact after a resume; streamed, a resume draws a new one from seed and step."""

    def __init__(self, store: Store, sources: Sources, reading: Reading, batch_slice: BatchSlice, workers: int = 2) -> None:
        super().__init__()
        self.store, self.source, self.validation = store, sources.training, sources.validation
        self.reading, self.required, self.batch_slice, self.workers = reading, reading.required, batch_slice, workers
        self.in_memory_bytes = in_memory_bytes()
        self._columns: Batch | None = None
        self._captions: CaptionColumns | None = None
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
            if self.reading.widen is not None:
                pairs = self.reading.widen(pairs)
            if self.reading.prepare is not None:
                self.reading.prepare(pairs)
            self._columns, self._captions = self.reading.pair_columns(pairs), self.reading.caption_columns(pairs)
            self._order = SamplingOrder(pairs.weights, self.batch_slice.seed)

    def _lie_on(self, device: torch.device) -> None:
        """Moves what lies in memory to the training's device, so that no batch has to travel."""
        assert self._columns is not None
        self._columns = _moved(self._columns, device)
        if self._captions is not None:
            self._captions = replace(self._captions, columns=_moved(self._captions.columns, device))

    def train_dataloader(self) -> "MemoryBatches | DataLoader[Batch]":
        """Batches from the step the trainer has reached, this process's share of them."""
        trainer = self.trainer
        assert trainer is not None
        batch_slice = replace(self.batch_slice, start=trainer.global_step, rank=trainer.global_rank, world=trainer.world_size)
        if self._columns is not None and self._order is not None:
            self._lie_on(trainer.strategy.root_device)
            return MemoryBatches(self._columns, self._order, batch_slice, self._captions, self.required.variation)
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
        columns = self.reading.best_columns(first_pairs(self.store, self.validation, self.required.side or 0, count))
        number = -(-min(count, self.validation.count) // self.batch_slice.batch_size)
        parts = {name: torch.chunk(column, number) for name, column in columns.items()}
        return [dict(zip(parts, batch, strict=True)) for batch in zip(*parts.values(), strict=True)]

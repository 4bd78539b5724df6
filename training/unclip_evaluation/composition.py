"""Composition: does the picture show the concept and the style it was asked for?

A picture hits its concept when the nearest training picture (largest cosine of MobileNetV2 features, whole training set) is of the
same base concept, and its style when that neighbour has the same style. Chance is one over the number of concepts, or of styles.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from unclip_evaluation.distances import nearest
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.data.pair_source import PairSource


@dataclass(frozen=True)
class Label:
    """What a pair shows."""

    concept: str
    style: str


@dataclass(frozen=True)
class Prompt:
    """A caption to paint, the pair it was taken from and what its picture should show."""

    key: str
    caption: str
    label: Label


@dataclass(frozen=True)
class Hits:
    """Shares in [0, 1] of pictures whose nearest training picture has the same concept, the same style, and the neighbours themselves."""

    concept: float
    style: float
    places: NDArray[np.int64]
    cosines: NDArray[np.float32]


def labels_of(store: Store, source: PairSource) -> dict[str, Label]:
    """The label of each pair whose sidecar names one; `UserError` when the set has no labels at all."""
    tables = [pyarrow.parquet.read_table(store.path(f"{shard}.parquet")) for shard in source.shards]
    named = [table.select(["key", "concept", "style"]) for table in tables if {"concept", "style"} <= set(table.column_names)]
    rows = pa.concat_tables(named).to_pylist() if named else []
    labels = {row["key"]: Label(row["concept"], row["style"]) for row in rows if row["concept"] and row["style"]}
    if not labels:
        raise UserError("the dataset names no concept and style, so composition cannot be measured; publish it with the ground truth")
    return labels


def one_per_concept(keys: list[str], captions: list[str], labels: dict[str, Label], count: int, seed: int) -> list[Prompt]:
    """At most `count` prompts of distinct base concepts, drawn with `seed` whatever order the pairs come in."""
    by_concept: dict[str, list[Prompt]] = {}
    for key, caption in sorted(zip(keys, captions, strict=True)):
        if key in labels:
            by_concept.setdefault(labels[key].concept, []).append(Prompt(key, caption, labels[key]))
    generator = np.random.default_rng(seed)
    concepts = generator.permutation(sorted(by_concept))[:count]
    return [by_concept[concept][int(generator.integers(len(by_concept[concept])))] for concept in concepts]


def one_per_combination(keys: list[str], captions: list[str], labels: dict[str, Label], count: int) -> list[Prompt]:
    """At most `count` prompts of distinct (concept, style) combinations, in the order of their keys."""
    found: dict[Label, Prompt] = {}
    for key, caption in sorted(zip(keys, captions, strict=True)):
        if key in labels:
            found.setdefault(labels[key], Prompt(key, caption, labels[key]))
    return list(found.values())[:count]


def hits(prompts: list[Prompt], painted: NDArray[np.float32], train: NDArray[np.float32], train_labels: list[Label | None]) -> Hits:
    """How many of the painted pictures (features [P, 1280]) have a nearest training picture (features [N, 1280]) of their own label."""
    places, cosines = nearest(painted, train)
    neighbours = [train_labels[place] for place in places]
    concept = [n is not None and n.concept == p.label.concept for p, n in zip(prompts, neighbours, strict=True)]
    style = [n is not None and n.style == p.label.style for p, n in zip(prompts, neighbours, strict=True)]
    return Hits(float(np.mean(concept)) if prompts else 0.0, float(np.mean(style)) if prompts else 0.0, places, cosines)

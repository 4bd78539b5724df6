"""Choice of prompts: the same for the same dataset version, seed and numbers, whatever order its pairs come in."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.prompt_file import OWN_WORDS, SETS, PromptSets
from unclip_evaluation.prompts.scene import parse_scene
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.data.pair_source import PairSource

TRAINING, SEEN = "training", "_seen"
COLUMNS = ("key", "concept", "style", "scene")


def labels_of(store: Store, source: PairSource) -> dict[str, Label]:
    """The label of each pair whose sidecar names concept and style, with its scene where there is one.

    `UserError` when the set has no labels at all.
    """
    labels: dict[str, Label] = {}
    for shard in source.shards:
        columns = [name for name in COLUMNS if name in pyarrow.parquet.read_schema(store.path(f"{shard}.parquet")).names]
        if {"concept", "style"} <= set(columns):
            labels |= _labels(pyarrow.parquet.read_table(store.path(f"{shard}.parquet"), columns=columns))
    if not labels:
        raise UserError("the dataset names no concept and style, so composition cannot be measured; publish it with the ground truth")
    return labels


def _labels(table: pa.Table) -> dict[str, Label]:
    return {
        row["key"]: Label(row["concept"], row["style"], parse_scene(row.get("scene"), f"pair {row['key']}"))
        for row in table.to_pylist()
        if row["concept"] and row["style"]
    }


def one_per_concept(keys: list[str], captions: list[str], labels: Mapping[str, Label], count: int, seed: int) -> list[Prompt]:
    """At most `count` captions of pairs that show one thing, of distinct concepts before a concept comes again, drawn with `seed`."""
    generator, by_concept = np.random.default_rng(seed), dict[str, list[Prompt]]()
    for key, caption in sorted(zip(keys, captions, strict=True)):
        if key in labels and labels[key].is_single:
            by_concept.setdefault(labels[key].concept, []).append(Prompt(caption, labels[key], key=key))
    shuffled = {
        concept: [by_concept[concept][i] for i in generator.permutation(len(by_concept[concept]))] for concept in sorted(by_concept)
    }
    order = [str(concept) for concept in generator.permutation(sorted(shuffled))]
    rounds = range(max(map(len, shuffled.values()), default=0))
    return [shuffled[concept][turn] for turn in rounds for concept in order if turn < len(shuffled[concept])][:count]


def one_per_combination(keys: list[str], captions: list[str], labels: Mapping[str, Label], count: int) -> list[Prompt]:
    """At most `count` captions of held-out pairs of distinct labels, in the order of their keys."""
    found: dict[Label, Prompt] = {}
    for key, caption in sorted(zip(keys, captions, strict=True)):
        if key in labels:
            found.setdefault(labels[key], Prompt(caption, labels[key], seen=False, key=key))
    return list(found.values())[:count]


def split_and_cut(sets: PromptSets, num_prompts: int, num_composed: int) -> PromptSets:
    """At most `num_prompts` prompts in own words and `num_composed` of every other set, the seen ones of these apart.

    A set is thinned out evenly, so that what was sorted by kind keeps all its kinds.
    """
    apart: PromptSets = {}
    for name in (name for name in SETS if sets.get(name)):
        if name == OWN_WORDS:
            apart[name] = sets[name]
        else:
            apart |= {name: [one for one in sets[name] if not one.seen], f"{name}{SEEN}": [one for one in sets[name] if one.seen]}
    return {name: _spread(prompts, num_prompts if name == OWN_WORDS else num_composed) for name, prompts in apart.items() if prompts}


def _spread(prompts: list[Prompt], count: int) -> list[Prompt]:
    return prompts if len(prompts) <= count else [prompts[i * len(prompts) // count] for i in range(count)]

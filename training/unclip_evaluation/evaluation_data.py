"""Data of an evaluation: the splits with their features and labels, and the prompts of every set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unclip_evaluation.baselines import LabelledSet
from unclip_evaluation.comparison import Sources
from unclip_evaluation.distances import reference_set
from unclip_evaluation.figures import ALL_SETS
from unclip_evaluation.plan import EvaluationPlan
from unclip_evaluation.prompts.choice import (
    TRAINING,
    labels_of,
    one_per_combination,
    one_per_concept,
    split_and_cut,
)
from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.prompt_file import HELD_OUT, PromptSets, prompt_sets, read_prompt_file
from unclip_pairs.manifest import settings_digest
from unclip_pairs.progress import Progress
from unclip_pairs.shards import shard_names
from unclip_pairs.store import Store
from unclip_training.data.pair_source import pairs_source


@dataclass(frozen=True)
class EvaluationData:
    """The splits, the prompts of each set that is there, in the order of the tables, and of each other set why it is not."""

    sources: Sources
    sets: Mapping[str, list[Prompt]]
    missing: Mapping[str, str]

    @property
    def held_out(self) -> list[Prompt]:
        """Prompts of combinations that are in no training picture."""
        return self.sets.get(HELD_OUT, [])


def asked_sets(store: Store, dataset: str, file: Path | None) -> tuple[PromptSets, str]:
    """The prompts of `file`, or else of the version's prompts.json (none where it has none), and their digest.

    `UserError` for a file that is not as it should be.
    """
    name = f"datasets/{dataset}/prompts.json"
    if file is not None:
        return read_prompt_file(file), settings_digest(file.read_text("utf-8"))
    if not store.exists(name):
        return {}, settings_digest(None)
    content = store.read_json(name)
    return prompt_sets(content, name), settings_digest(content)


def load_data(store: Store, dataset: str, asked: PromptSets, plan: EvaluationPlan, progress: Progress) -> EvaluationData:
    """The splits and the prompts, the same for the same dataset version, prompts and plan."""
    count = pairs_source(store, dataset).count
    train = _split(store, dataset, "train", lambda done: progress(done, count, "features of the training pictures"))
    held_out = _split(store, dataset, "held_out")
    validation = _split(store, dataset, "validation") if shard_names(store, f"datasets/{dataset}/validation-") else None
    sets = {TRAINING: one_per_concept(*_captions(train), plan.num_prompts, plan.seed)}
    sets |= {HELD_OUT: one_per_combination(*_captions(held_out), plan.num_composed)}
    sets |= split_and_cut(asked, plan.num_prompts, plan.num_composed)
    why = "the prompts have none" if asked else "the dataset version has no prompts.json"
    there = {name: sets[name] for name in ALL_SETS if sets.get(name)}
    return EvaluationData(Sources(train, held_out, validation), there, {name: why for name in ALL_SETS if name not in there})


def _split(store: Store, dataset: str, split: str, progress: Callable[[int], None] | None = None) -> LabelledSet:
    reference = reference_set(store, dataset, split, progress)
    labels = labels_of(store, pairs_source(store, dataset, split))
    return LabelledSet(reference, [labels.get(key) for key in reference.pairs.keys])


def _captions(source: LabelledSet) -> tuple[list[str], list[str], Mapping[str, Label]]:
    pairs = source.reference.pairs
    labels = {key: label for key, label in zip(pairs.keys, source.labels, strict=True) if label is not None}
    return pairs.keys, pairs.captions, labels

"""Figures: the form of evaluation.json, and the few of them that the registry, MLflow and Dagster are given."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from unclip_pairs.json_value import JsonObject, JsonValue

ALL_SETS = ("training", "own_words", "attributes", "attributes_seen", "held_out", "held_out_seen", "scenes", "scenes_seen")
"""The sets in the order of the tables; a composed set asks for what training has not, its seen prompts are a set of their own beside it."""
CONFIDENCE = 1.959964  # standard deviations: 95 % of a normal distribution lie within


class Rate(TypedDict):
    """A share `value` of `of` cases, `hits` of them, and its Wilson interval from `low` to `high` (95 %); over no cases 0 from 0 to 1."""

    value: float
    low: float
    high: float
    hits: int
    of: int


class Compared(TypedDict):
    """One rate of four rows of pictures by the same judge.

    `painted` is the bundle's. `real` are pictures of the same labels that neither it nor the judge learned from: the ceiling. `floor`
    is the mean of the concept's pictures in other styles, shifted by the style. `copying` is the nearest training picture in place of
    each painted one.
    """

    painted: Rate
    real: Rate
    floor: Rate
    copying: Rate


class SetFigures(TypedDict):
    """One set of prompts: rates by the probes, each check that its scenes ask, why checks were undecided, and how near copies are."""

    num_prompts: int
    concept_at_1: Compared
    concept_at_5: Compared
    style: Compared
    checks: dict[str, Compared]
    undecided: dict[str, dict[str, int]]
    nearest_train: dict[str, float]


class CheckerFigures(TypedDict):
    """A check on real pictures: how often it passes what they show (`right`), and how often what they do not show (`wrong`)."""

    right: Rate
    wrong: Rate


class ProbeFigures(TypedDict):
    """The probes on validation pictures, or, where a version has none, on held-out ones (`split`)."""

    split: str
    concept_at_1: Rate
    concept_at_5: Rate
    style: Rate
    num_concepts: int
    num_styles: int


class Diversity(TypedDict):
    """Several seeds of a prompt: mean pairwise difference of pixels (of 255) and of features (1 - cosine), and all seeds' concept @1."""

    num_prompts: int
    seeds_per_prompt: int
    pixel_difference: float
    feature_distance: float
    concept_at_1: Rate
    concept_at_1_one_seed: Rate


class HitFigures(TypedDict):
    """The plain figures: hit rates by the nearest training picture 0..1, judge's scores in [-100, 100], `frechet_mnv2` at least 0."""

    concept_hit_rate: float
    style_hit_rate: float
    held_out_concept_hit_rate: float
    held_out_style_hit_rate: float
    clip_score_judge: float
    clip_score_judge_of_training_pictures: float
    frechet_mnv2: float
    nearest_train: dict[str, float]
    num_prompts: int
    num_held_out: int
    num_concepts: int
    num_styles: int


class Evaluation(HitFigures):
    """evaluation.json: the plain figures, those of each set of prompts, the judges' own accuracy, and how far seeds lie apart.

    `missing_sets` says of each set that was not painted why.
    """

    sets: dict[str, SetFigures]
    missing_sets: dict[str, str]
    probes: ProbeFigures
    checkers: dict[str, CheckerFigures]
    diversity: Diversity


def rate(hits: Sequence[bool] | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Rate:
    """The share of hits with its Wilson score interval (Wilson, 1927), which stays within 0..1 and is right for few cases too."""
    count, found = len(hits), int(np.count_nonzero(hits))
    if count == 0:
        return Rate(value=0.0, low=0.0, high=1.0, hits=0, of=0)
    share, square = found / count, CONFIDENCE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = CONFIDENCE * float(np.sqrt(share * (1 - share) / count + square / (4 * count**2))) / (1 + square / count)
    return Rate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half), hits=found, of=count)


def main_figures(figures: JsonObject) -> JsonObject:
    """What the registry stores and compares: the plain figures, and of each set the painted and the real rates, by their names.

    A set's rates are nested under its name (`own_words.concept_at_1`, `own_words.real.concept_at_1`, `scenes.count`). A figure over no
    pictures is left out.
    """
    plain = {name: value for name, value in figures.items() if not isinstance(value, Mapping) or name == "nearest_train"}
    sets = {name: _main_of_set(one) for name, one in _mapping(figures.get("sets")).items()}
    diversity = {name: value for name, value in _mapping(figures.get("diversity")).items() if isinstance(value, float)}
    return plain | sets | ({"diversity": diversity} if diversity else {})


def _main_of_set(figures: JsonValue) -> JsonObject:
    fields = _mapping(figures)
    rates = {name: _mapping(fields[name]) for name in ("concept_at_1", "concept_at_5", "style") if name in fields}
    rates |= {name: _mapping(value) for name, value in _mapping(fields.get("checks")).items()}
    real = {name: value for name, rows in rates.items() if (value := _value(rows.get("real"))) is not None}
    painted = {name: value for name, rows in rates.items() if (value := _value(rows.get("painted"))) is not None}
    return {**painted, **({"real": real} if real else {})}


def _value(rate: JsonValue) -> float | None:
    fields = _mapping(rate)
    value = fields.get("value")
    return float(value) if fields.get("of") and isinstance(value, int | float) else None


def _mapping(value: JsonValue) -> JsonObject:
    return value if isinstance(value, Mapping) else {}

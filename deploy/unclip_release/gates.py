"""Gates: pure functions that say why a candidate may not become champion."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from unclip_pairs.json_value import JsonObject

HIGHER_IS_BETTER = ("concept_hit_rate", "style_hit_rate", "clip_score_judge")
LOWER_IS_BETTER = ("frechet_mnv2",)
COPIED = "nearest_train.share_above_0.97"
REQUIRED = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER, COPIED, "explicit_pictures")
PASSED = "passed"

Metrics = JsonObject


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """The thresholds. Rates are 0..1; `tolerance` is the share by which a figure may be worse than the champion's.

    `max_copied` bounds the share of painted pictures whose cosine to their nearest training picture is above 0.97: a person would
    call those copies. It is wide by default, because who draws known emoji well comes near them; photographs deserve 0.01.
    `min_own_words_concept` bounds the concept probe's rate @1 on prompts in own words, `min_held_out_concept` its rate @5 on combinations
    that training has not.
    """

    min_concept_hit_rate: float = 0.0
    min_style_hit_rate: float = 0.0
    min_own_words_concept: float = 0.0
    min_held_out_concept: float = 0.0
    max_copied: float = 0.5
    tolerance: float = 0.10

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, but must lie between 0 and 1")


def numbers(evaluation: Metrics, prefix: str = "") -> dict[str, float]:
    """The figures of an evaluation as floats, nested ones under dotted names (`nearest_train.mean`); what is no figure is left out."""
    found: dict[str, float] = {}
    for name, value in evaluation.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = float(value)
    return found


def _present(candidate: Metrics) -> list[str]:
    missing = [name for name in REQUIRED if name not in numbers(candidate)]
    return [f"the evaluation lacks {', '.join(missing)}"] if missing else []


def _finite(candidate: Metrics) -> list[str]:
    return [f"{name} is not finite" for name, value in numbers(candidate).items() if not math.isfinite(value)]


def _floors(candidate: Metrics, policy: GatePolicy) -> list[str]:
    floors = {
        "concept_hit_rate": policy.min_concept_hit_rate,
        "style_hit_rate": policy.min_style_hit_rate,
        "own_words.concept_at_1": policy.min_own_words_concept,
        "held_out.concept_at_5": policy.min_held_out_concept,
    }
    found = numbers(candidate)
    return [
        f"{name} {found[name]:.3f} is below the floor {floor:.3f}"
        for name, floor in floors.items()
        if name in found and found[name] < floor
    ]


def _safe(candidate: Metrics) -> list[str]:
    explicit = numbers(candidate).get("explicit_pictures", 0.0)
    return [f"{explicit:.0f} pictures of the evaluation are explicit; none may be"] if explicit > 0 else []


def _original(candidate: Metrics, policy: GatePolicy) -> list[str]:
    share = numbers(candidate).get(COPIED, 0.0)
    if share <= policy.max_copied:
        return []
    return [f"{share:.1%} of the pictures are near copies of training pictures; at most {policy.max_copied:.1%} may be"]


def _not_worse(candidate: Metrics, champion: Metrics | None, tolerance: float) -> list[str]:
    """One sentence for each figure that is worse than the champion's by more than the tolerance."""
    if champion is None:
        return []
    signs: dict[str, int] = {name: 1 if name in HIGHER_IS_BETTER else -1 for name in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)}
    mine, theirs, worse = numbers(candidate), numbers(champion), list[str]()
    for name, sign in signs.items():
        if name in mine and name in theirs and sign * mine[name] < sign * theirs[name] - tolerance * abs(theirs[name]):
            worse.append(f"{name} {mine[name]:.3f} is worse than the champion's {theirs[name]:.3f} by more than {tolerance:.0%}")
    return worse


def results(candidate: Metrics, champion: Metrics | None, policy: GatePolicy) -> dict[str, str]:
    """By gate: 'passed', or the objections in sentences joined by '; '."""
    gates: dict[str, Callable[[], list[str]]] = {
        "evaluated": lambda: _present(candidate),
        "finite": lambda: _finite(candidate),
        "good_enough": lambda: _floors(candidate, policy),
        "safe": lambda: _safe(candidate),
        "original": lambda: _original(candidate, policy),
        "not_worse": lambda: _not_worse(candidate, champion, policy.tolerance),
    }
    return {name: "; ".join(gate()) or PASSED for name, gate in gates.items()}


def objections(candidate: Metrics, champion: Metrics | None, policy: GatePolicy) -> list[str]:
    """Why the candidate may not be champion; an empty list is a yes."""
    return [result for result in results(candidate, champion, policy).values() if result != PASSED]

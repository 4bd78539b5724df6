"""Comparisons of policies: who would come and who would go, in which words, and what a threshold does along its range."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from unclip_curation.decisions.ground_truth import planted_in
from unclip_curation.decisions.verdicts import decided
from unclip_curation.policy import Policy
from unclip_curation.tables import open_tables
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

WORDS = 20
_MOVED = pa.schema([("key", pa.string()), ("keep", pa.bool_()), ("before", pa.list_(pa.string())), ("after", pa.list_(pa.string()))])


@dataclass(frozen=True)
class Diff:
    """What changes from policy a to policy b: keys that come in and that go out, by the reason that kept them out or now does."""

    stage: str
    kept_a: int
    kept_b: int
    came: dict[str, list[str]]
    went: dict[str, list[str]]

    def keys(self, came: bool) -> list[str]:
        """Everyone that comes, or everyone that goes, once and sorted."""
        return sorted({key for keys in (self.came if came else self.went).values() for key in keys})


@dataclass(frozen=True)
class Word:
    """How many captions of a group have a word, what share of the group that is, and the word's share among all stored captions."""

    word: str
    count: int
    share: float
    share_everywhere: float


@dataclass(frozen=True)
class SweepStep:
    """One value of a swept threshold: how many rows stay, and the recall of each planted class (none without a starter corpus)."""

    value: float | int
    kept: int
    recall: dict[str, float]


def policy_diff(store: Store, a: Policy, b: Policy, stage: str = "rule", embeddings: str | None = None) -> Diff:
    """Who would come and who would go if b took the place of a; nothing is written. Errors as in `decide`."""
    before, after = (decided(store, stage, policy, embeddings) for policy in (a, b))
    moved = pc.call_function("not_equal", [before["keep"], after["keep"]])
    columns = [after["key"], after["keep"], before["reasons"], after["reasons"]]
    came, went = dict[str, list[str]](), dict[str, list[str]]()
    for row in pa.table(columns, schema=_MOVED).filter(moved).to_pylist():
        groups, reasons = (came, row["before"]) if row["keep"] else (went, row["after"])
        for reason in reasons:
            groups.setdefault(reason, []).append(row["key"])
    kept = [table["keep"].combine_chunks().true_count for table in (before, after)]
    return Diff(stage, kept[0], kept[1], dict(sorted(came.items())), dict(sorted(went.items())))


def frequent_words(store: Store, keys: Sequence[str], top: int = WORDS) -> list[Word]:
    """The words most often found in the captions of `keys`, beside their share in the captions of all stored pairs; most frequent first.

    A word is three or more letters; each caption counts a word once.
    """
    with open_tables(store) as connection:
        connection.register("moved", pa.table({"key": pa.array(keys, pa.string())}))
        rows = connection.execute(
            "WITH spoken AS (SELECT key, key IN (FROM moved) AS moved,"
            "  unnest(list_distinct(regexp_extract_all(lower(caption), '\\p{L}{3,}'))) AS word FROM pairs WHERE status = 'ok')"
            " SELECT word, count(*) FILTER (moved) AS times, count(*) AS everywhere FROM spoken"
            " GROUP BY word HAVING times > 0 ORDER BY times DESC, word LIMIT ?",
            [top],
        ).fetchall()
        stored = connection.execute("SELECT count(*) FROM pairs WHERE status = 'ok'").fetchall()[0][0]
    return [Word(word, times, times / max(1, len(keys)), everywhere / max(1, stored)) for word, times, everywhere in rows]


def policy_sweep(
    store: Store, policy: Policy, field: str, values: Sequence[float], stage: str = "rule", embeddings: str | None = None
) -> Iterator[SweepStep]:
    """Decides once for each value of one threshold; nothing is written. `UserError` when the field is no number of a policy."""
    known = policy.settings.get(field)
    if isinstance(known, bool) or not isinstance(known, int | float):
        numbers = [name for name, value in policy.settings.items() if isinstance(value, int | float) and not isinstance(value, bool)]
        raise UserError(f"{field!r} is no number of a policy; sweep one of {', '.join(sorted(numbers))}")
    kind: Callable[[float], float | int] = round if isinstance(known, int) else float
    for value in dict.fromkeys(kind(value) for value in values):
        verdicts = decided(store, stage, replace(policy, settings=policy.settings | {field: value}), embeddings)
        recall = {name: float(found["recall"]) for name, found in planted_in(store, verdicts).items()}
        yield SweepStep(value, verdicts["keep"].combine_chunks().true_count, recall)


def telling(steps: Sequence[SweepStep]) -> list[str]:
    """The planted classes whose recall changes along the sweep."""
    names = dict.fromkeys(name for step in steps for name in step.recall)
    return [name for name in names if len({round(step.recall[name], 6) for step in steps}) > 1]

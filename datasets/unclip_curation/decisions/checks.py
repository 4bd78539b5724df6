"""Checks on curation: each gives its objections as sentences, none when all is well."""

import itertools

from pyarrow.parquet import read_table

from unclip_curation.decisions.rules import STAGES, judge
from unclip_curation.decisions.verdicts import read_verdicts
from unclip_curation.features import kept_keys
from unclip_curation.policy import Policy
from unclip_curation.splits import SPLITS
from unclip_curation.tables import add_policy, open_tables
from unclip_pairs.manifest import read_manifest
from unclip_pairs.shards import shard_names
from unclip_pairs.store import Store


def _decided(store: Store, until: str) -> list[str]:
    """The decided stages up to `until`, in their order."""
    stages = STAGES[: STAGES.index(until) + 1]
    return [stage for stage in stages if read_manifest(store, f"verdicts/{stage}.json") is not None]


def row_counts_only_fall(store: Store, until: str) -> list[str]:
    """No stage up to `until` keeps a row that the stage before dropped. Later stages may be older, and are decided anew after it."""
    stages = _decided(store, until)
    kept = {stage: kept_keys(store, stage) for stage in stages}
    pairs = itertools.pairwise(stages)
    back = {(before, after): len(kept[after] - kept[before]) for before, after in pairs}
    return [f"the stage {after} keeps {count} rows that the stage {before} dropped" for (before, after), count in back.items() if count]


def verdicts_have_reasons(store: Store, stage: str) -> list[str]:
    """A row goes exactly when there is a reason, and every row has one verdict."""
    verdicts = read_verdicts(store, stage)
    rows = verdicts.select(["key", "keep", "reasons"]).to_pylist()
    silent = sum(not row["keep"] and not row["reasons"] for row in rows)
    ignored = sum(bool(row["keep"] and row["reasons"]) for row in rows)
    doubled = len(rows) - len({row["key"] for row in rows})
    objections = {f"{silent} rows go without a reason": silent, f"{ignored} rows stay in spite of a reason": ignored}
    return [text for text, count in (objections | {f"{doubled} keys have two verdicts": doubled}).items() if count]


def explicit_share(store: Store, version: str, policy: Policy) -> float:
    """The share, 0..1, of a published dataset's rows that the policy calls explicit by the scores, or that have no scores."""
    keys = [key for split in SPLITS for key in published(store, version, split, "key")]
    with open_tables(store) as connection:
        add_policy(connection, policy)
        judge(connection, store)
        found = "SELECT key FROM judged WHERE list_contains(reasons, 'explicit') OR NOT safety_scored"
        listed = "SELECT key FROM safety_findings WHERE reason = 'explicit'"
        explicit = {key for (key,) in connection.execute(f"{found} UNION {listed}").fetchall()}
    return sum(key in explicit for key in keys) / len(keys) if keys else 0.0


def published_is_safe(store: Store, version: str, policy: Policy) -> list[str]:
    """The explicit rate of the published set is zero by the scorers."""
    share = explicit_share(store, version, policy)
    return [f"{share:.4%} of the rows in {version} are explicit by the scorers, or not scored"] if share > 0 else []


def published(store: Store, version: str, split: str, column: str) -> list[str]:
    """One column of a split of a published dataset."""
    names = shard_names(store, f"datasets/{version}/{split}-")
    return [value for name in names for value in read_table(store.path(f"{name}.parquet"), columns=[column])[column].to_pylist()]


def nothing_leaks(store: Store, version: str) -> list[str]:
    """No training row is a held-out or validation row or has the bytes of one, and none shows a held-out row's concept in its style."""
    objections = list[str]()
    for column, words in (("key", "keys"), ("sha256", "pictures")):
        train = set(published(store, version, "train", column))
        for split, where in (("held_out", "held out"), ("validation", "in validation")):
            both = train & set(published(store, version, split, column))
            objections += [f"{len(both)} {words} are both in training and {where} in {version}"] if both else []
    shown = [
        set(zip(*(published(store, version, split, column) for column in ("concept", "style", "attributes")), strict=True))
        for split in ("train", "held_out")
    ]
    both = {one for one in shown[0] & shown[1] if one[0] is not None}
    return objections + ([f"{len(both)} held-out compositions are in training in {version}"] if both else [])

"""This file is comparisons of policies: who would come and who would go."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from unclip_curation.policy import Policy
from unclip_curation.verdicts import decided
from unclip_pairs.store import Store


@dataclass(frozen=True)
class Diff:
    """What changes from policy a to policy b: keys that come in and that go out, by the reason that kept them out or now does."""

    stage: str
    kept_a: int
    kept_b: int
    came: dict[str, list[str]]
    went: dict[str, list[str]]

    def __str__(self) -> str:
        lines = [f"stage {self.stage}: {self.kept_a} kept under a, {self.kept_b} under b"]
        for word, groups in (("come in, no longer", self.came), ("go out, now", self.went)):
            lines += [
                f"  {len(keys)} {word} {reason}: {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}" for reason, keys in groups.items()
            ]
        return "\n".join(lines)


def policy_diff(store: Store, a: Policy, b: Policy, stage: str = "rule", embeddings: str | None = None) -> Diff:
    """Who would come and who would go if b took the place of a; nothing is written. Errors as in `decide`."""
    before, after = (_by_key(decided(store, stage, policy, embeddings)) for policy in (a, b))
    came, went = dict[str, list[str]](), dict[str, list[str]]()
    for key in sorted(before):
        if before[key]["keep"] != after[key]["keep"]:
            groups, reasons = (came, before[key]["reasons"]) if after[key]["keep"] else (went, after[key]["reasons"])
            for reason in reasons:
                groups.setdefault(reason, []).append(key)
    kept = [sum(row["keep"] for row in rows.values()) for rows in (before, after)]
    return Diff(stage, kept[0], kept[1], dict(sorted(came.items())), dict(sorted(went.items())))


def _by_key(verdicts: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in verdicts.to_pylist()}

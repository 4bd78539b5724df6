"""Groups of duplicates to look at: the biggest, the borderline pairs, which picture stays and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import pyarrow as pa

from unclip_curation.decisions.rules import find
from unclip_curation.features import required
from unclip_curation.policy import Policy
from unclip_curation.reports.policy_pages import page
from unclip_curation.samples import data_address, pictures_of
from unclip_curation.similarity.likeness import Candidate
from unclip_curation.tables import add_policy, open_tables
from unclip_pairs.store import Store

TILE = 128
MOST_MEMBERS = 12
_FACTS = ("key", "caption", "licence", "host", "original_width", "original_height", "round", "similarity")


class Member(TypedDict):
    """A row of a group: its facts (`_FACTS`), ranks and words of the policy's view `standing`, and why it goes ("" if it stays)."""

    key: str
    caption: str | None
    licence: str | None
    host: str | None
    original_width: int | None
    original_height: int | None
    round: int | None
    similarity: float | None
    ranks: list[object]
    words: list[str]
    reason: str


class BorderlinePair(Candidate):
    """A candidate, the reasons for which the policy calls the two one picture, and how far from its threshold, in bits, they are."""

    reasons: list[str]
    margin: int


@dataclass(frozen=True)
class Group:
    """Rows that are one picture: the one that stays, why it and not the next best, and all with their facts, best first."""

    stays: str
    why: str
    members: tuple[Member, ...]


def find_groups(store: Store, policy: Policy) -> list[Group]:
    """The groups by this policy, the biggest first; nothing is written. `UserError` when no duplicates were sought.

    The policy decides as for the verdicts; who stays, for which reason the others go and by which rank is read from that decision.
    """
    required(store, "features/duplicates.json", "search for duplicates first")
    with open_tables(store) as connection:
        add_policy(connection, policy)
        find(connection, store, policy, "duplicate")
        explained = {"ranks", "words"} <= {name for name, *_ in connection.execute("DESCRIBE standing").fetchall()}
        # whoever stays has no reason of its own
        rows = connection.execute(
            f"WITH gone AS (SELECT key, reason, stays FROM redundant UNION SELECT DISTINCT stays, '', stays FROM redundant)"
            f" SELECT gone.stays, gone.reason, {', '.join(_FACTS)}, {'ranks, words' if explained else '[] AS ranks, [] AS words'}"
            " FROM gone JOIN contested USING (key) LEFT JOIN searched USING (key)"
            " LEFT JOIN standing USING (key) ORDER BY gone.reason <> '', coalesce(round, 0), place"
        ).fetchall()
    groups = dict[str, list[Member]]()
    for stays, reason, *facts in rows:
        groups.setdefault(stays, []).append(Member(**dict(zip((*_FACTS, "ranks", "words"), facts, strict=True)), reason=reason))
    found = [Group(stays, _why(members[0], members[1]), tuple(members)) for stays, members in groups.items()]
    return sorted(found, key=lambda group: (-len(group.members), group.stays))


def _why(best: Member, second: Member) -> str:
    """Why the row that stays beats the next best, in the words that the policy's SQL has for the first rank that differs."""
    if (best["round"] or 0) < (second["round"] or 0):
        return "it stood before the others came"
    for mine, other, words in zip(best["ranks"], second["ranks"], best["words"], strict=True):
        if mine != other:
            return str(words)
    return "the smallest key; all else is equal" if best["ranks"] else "it stands first by the policy's SQL"


def borderline(store: Store, policy: Policy, count: int) -> list[BorderlinePair]:
    """Candidates nearest to the threshold `duplicate_pdq` on both sides, each with whether the policy calls the pair one picture."""
    with open_tables(store) as connection:
        add_policy(connection, policy)
        table = connection.sql(
            "SELECT candidates.*, list(edges.reason) AS reasons, min(abs(pdq_distance - duplicate_pdq)) AS margin"
            " FROM candidates LEFT JOIN (SELECT DISTINCT a, b, reason FROM duplicate_edges) AS edges USING (a, b), policy"
            " WHERE NOT same_bytes AND NOT same_pixels GROUP BY ALL ORDER BY margin, candidates.a, candidates.b"
            f" LIMIT {int(count)}"
        ).to_arrow_table()
    return [pair | {"reasons": sorted({reason for reason in pair["reasons"] if reason})} for pair in table.to_pylist()]


def distances(store: Store, groups: Sequence[Group]) -> dict[tuple[str, str], Candidate]:
    """What was measured between each member and the one that stays, where the two were compared."""
    pairs = [(group.stays, member["key"]) for group in groups for member in group.members[1:]]
    with open_tables(store) as connection:
        wanted = {"stays": [stays for stays, _ in pairs], "key": [key for _, key in pairs]}
        connection.register("wanted", pa.table({name: pa.array(values, pa.string()) for name, values in wanted.items()}))
        table = connection.sql(
            "SELECT stays, key, candidates.* FROM candidates JOIN wanted"
            " ON candidates.a = least(stays, key) AND candidates.b = greatest(stays, key) ORDER BY pdq_distance DESC"
        ).to_arrow_table()
    return {(row["stays"], row["key"]): row for row in table.to_pylist()}


def duplicates_page(store: Store, policy: Policy, groups: Sequence[Group], count: int) -> str:
    """The page as HTML, with small pictures inside it: up to `count` groups of up to `MOST_MEMBERS` each, and as many borderline pairs."""
    shown, pairs = list(groups[:count]), borderline(store, policy, count)
    keys = [member["key"] for group in shown for member in group.members[:MOST_MEMBERS]]
    keys += [key for pair in pairs for key in (pair["a"], pair["b"])]
    pictures = dict[str, str]()
    for key, image in pictures_of(store, sorted(set(keys))).items():
        image.thumbnail((TILE, TILE))
        pictures[key] = data_address(image)
    reasons = [member["reason"] for group in groups for member in group.members if member["reason"]]
    tally = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    facts = {"pictures": pictures, "distances": distances(store, shown), "tally": tally, "most": MOST_MEMBERS, "policy": policy}
    return page("duplicates.html", title="Groups of duplicates", groups=shown, total=len(groups), pairs=pairs, **facts)

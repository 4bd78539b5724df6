"""This file is groups of duplicates: pairs joined to groups, one row of each left standing."""

from collections.abc import Iterable


class Groups:
    """Union-find whose leader is always the member that stands best (the smallest place)."""

    def __init__(self, places: dict[str, int]) -> None:
        self.places = places
        self.parents: dict[str, str] = {}

    def leader(self, key: str) -> str:
        """The best standing member of the key's group."""
        root = key
        while (parent := self.parents.get(root, root)) != root:
            root = parent
        while key != root:
            key, self.parents[key] = self.parents.get(key, key), root
        return root

    def join(self, a: str, b: str) -> str | None:
        """Puts two groups together and gives the leader that is one no longer, or None when they were one group already."""
        first, second = sorted((self.leader(a), self.leader(b)), key=self.places.__getitem__)
        if first == second:
            return None
        self.parents[second] = first
        return second


def redundant(edges: Iterable[tuple[str, str, str]], places: dict[str, int], order: Iterable[str]) -> dict[str, tuple[str, str]]:
    """What to drop: key -> (reason, the row that stays for it). `edges` are (a, b, reason); reasons are worked off in `order`.

    A later reason joins only rows that earlier reasons left standing, so each dropped row has the strongest reason there is.
    """
    groups, reasons, found = Groups(places), tuple(order), dict[str, str]()
    by_reason: dict[str, list[tuple[str, str]]] = {reason: [] for reason in reasons}
    for a, b, reason in edges:
        if a in places and b in places:
            by_reason[reason].append((a, b))
    for reason in reasons:
        for a, b in sorted(by_reason[reason]):
            lost = groups.join(a, b)
            if lost is not None:
                found[lost] = reason
    return {key: (reason, groups.leader(key)) for key, reason in found.items()}

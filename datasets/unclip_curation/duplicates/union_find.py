"""Groups of duplicates: pairs joined to groups, one row of each left standing."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType


class Groups:
    """Union-find whose leader is always the member that stands best (the smallest place)."""

    def __init__(self, places: Mapping[str, tuple[int, int]]) -> None:
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


def redundant(
    edges: Iterable[tuple[str, str, str]], places: dict[str, int], order: Iterable[str], rounds: Mapping[str, int] = MappingProxyType({})
) -> dict[str, tuple[str, str]]:
    """What to drop: key -> (reason, the row that stays for it). `edges` are (a, b, reason); reasons are worked off in `order`.

    A later reason joins only rows that earlier reasons left standing, so each dropped row has the strongest reason there is. `rounds` says
    when a row came, 0 unless it is told: what stood before a row came stays standing, even if that row is like two such rows.
    """
    came = {key: rounds.get(key, 0) for key in places}
    groups, ranks = Groups({key: (came[key], place) for key, place in places.items()}), {reason: rank for rank, reason in enumerate(order)}
    known = [(max(came[a], came[b]), ranks[reason], a, b, reason) for a, b, reason in edges if a in places and b in places]
    found = dict[str, str]()
    for now, _, a, b, reason in sorted(known):
        stood = all(came[groups.leader(key)] < now for key in (a, b))
        lost = None if stood else groups.join(a, b)
        if lost is not None:
            found[lost] = reason
    return {key: (reason, groups.leader(key)) for key, reason in found.items()}

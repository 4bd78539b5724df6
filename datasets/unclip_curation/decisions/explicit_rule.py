"""Rule on explicit pictures, asked of scores that stand in no table: those of generated pictures.

The rule itself is the view `row_reasons` of the policy's SQL, which also decides on what is crawled and what is published.
"""

import threading
from collections.abc import Mapping, Sequence

from unclip_curation.policy import Policy
from unclip_curation.schemas import SAFETY_SCHEMA
from unclip_curation.tables import add_policy, open_scores

SCORES = tuple(name for name in SAFETY_SCHEMA.names if name != "key")
Scores = Mapping[str, float | None]


class ExplicitRule:
    """The rule of one policy; several threads may ask. `UserError` when the policy's SQL does not run."""

    def __init__(self, policy: Policy) -> None:
        self.version = policy.version
        self._connection, self._lock = open_scores(), threading.Lock()
        add_policy(self._connection, policy)
        self.explicit([dict.fromkeys(SCORES, 0.0)])

    def explicit(self, pictures: Sequence[Scores]) -> list[bool]:
        """Whether each picture, named by its scores (0..1, float32 as in `SAFETY_SCHEMA`), has the reason `explicit`."""
        rows = [[f"{place:08d}", *(scores.get(name) for name in SCORES)] for place, scores in enumerate(pictures)]
        with self._lock:
            self._connection.execute("DELETE FROM asked")
            self._connection.executemany(f"INSERT INTO asked (key, {', '.join(SCORES)}) VALUES (?{', ?' * len(SCORES)})", rows)
            found = self._connection.execute("SELECT key, coalesce(list_contains(safety, 'explicit'), false) FROM row_reasons").fetchall()
        explicit = {key: bool(says) for key, says in found}
        return [explicit[row[0]] for row in rows]

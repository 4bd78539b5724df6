"""Visibility: which pairs may be shown to who searches, asked anew at every search."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pyarrow.parquet import read_table

from unclip_curation.features import kept_keys, required
from unclip_pairs.manifest import read_manifest
from unclip_pairs.store import Store
from unclip_pairs.takedowns import FOLDER, Takedowns, read_takedowns

PROBED = "category_probe"
Row = TypeVar("Row", bound=Mapping[str, object])


class Visibility:
    """What was taken down is never shown. While `safe`, neither is what the safety stage does not keep, nor what a probe that the policy
    names found in the final stage; a pair of which no verdict is known counts as not kept.

    Requests and verdicts made while a server runs hold from the next search on; files are read again only when they changed.
    """

    def __init__(self, store: Store, safe: bool = True) -> None:
        self.store, self.safe = store, safe
        self._requests: tuple[list[str], Takedowns] | None = None
        self._safe_keys: tuple[list[str | None], frozenset[str]] | None = None
        self._copies: tuple[str | None, frozenset[str]] = None, frozenset()

    def shown(self, rows: Iterable[Row], distinct: bool = False) -> list[Row]:
        """Those of the rows ("key", and "url" when known) that may be shown, in their order; while `distinct`, without those that the
        duplicate stage, once it is decided, does not keep. `UserError` when `safe` and the safety stage is not decided."""
        takedowns, kept = self._taken_down(), self._kept() if self.safe else None
        copies = self._duplicates() if distinct else frozenset[str]()
        return [
            row
            for row in rows
            if row["key"] not in takedowns.keys
            and row["key"] not in copies
            and not takedowns.forbids(str(row.get("url") or ""))
            and (kept is None or row["key"] in kept)
        ]

    def _taken_down(self) -> Takedowns:
        names = self.store.names(FOLDER)
        if self._requests is None or self._requests[0] != names:
            self._requests = names, read_takedowns(self.store)
        return self._requests[1]

    def _kept(self) -> frozenset[str]:
        required(self.store, "verdicts/safety.json", "decide the stage 'safety' first, or search with --unsafe")
        manifests = [read_manifest(self.store, f"verdicts/{stage}.json") for stage in ("safety", "final")]
        digests = [manifest.digest if manifest else None for manifest in manifests]
        if self._safe_keys is None or self._safe_keys[0] != digests:
            found = self._probed() if digests[1] else set[str]()
            self._safe_keys = digests, frozenset(kept_keys(self.store, "safety") - found)
        return self._safe_keys[1]

    def _duplicates(self) -> frozenset[str]:
        manifest = read_manifest(self.store, "verdicts/duplicate.json")
        if manifest is not None and manifest.digest != self._copies[0]:
            rows = read_table(self.store.path("verdicts/duplicate.parquet"), columns=["key"], filters=[("keep", "==", False)])
            self._copies = manifest.digest, frozenset(rows["key"].to_pylist())
        return self._copies[1]

    def _probed(self) -> set[str]:
        """What a probe of the policy found; such pairs passed the safety stage, which knows no probe."""
        rows = read_table(self.store.path("verdicts/final.parquet"), columns=["key", "reasons"], filters=[("keep", "==", False)])
        return {key for key, reasons in zip(rows["key"].to_pylist(), rows["reasons"].to_pylist(), strict=True) if PROBED in reasons}

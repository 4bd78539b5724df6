"""Store's pictures by the key of their pair, for the pages that show them."""

import tarfile
from collections.abc import Iterable
from functools import lru_cache

from pyarrow.parquet import read_table

from unclip_pairs.store import Store

KINDS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
REMEMBERED = 100_000
Place = tuple[int, int, str]


class StoredPictures:
    """Called with a key, gives the picture's bytes and content type, or None when no shard holds it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._shards = dict[str, str]()
        self._members = lru_cache(64)(self._read_members)

    def __call__(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the content type, or None."""
        self.locate([key])
        place = self._members(self._shards[key]).get(key) if key in self._shards else None
        if place is None:
            return None
        start, size, kind = place
        with self.store.path(f"{self._shards[key]}.tar").open("rb") as file:
            file.seek(start)
            return file.read(size), kind

    def locate(self, keys: Iterable[str]) -> None:
        """Finds the shards of many keys in one reading, so that the pictures of a page come fast."""
        wanted = set(keys) - self._shards.keys()
        if len(self._shards) > REMEMBERED:
            self._shards.clear()
        for name in self.store.names("crawl/") if wanted else []:
            if name.endswith("/rows.parquet"):
                filters = [("key", "in", wanted), ("status", "==", "ok")]
                rows = read_table(self.store.path(name), columns=["key", "shard"], filters=filters)
                self._shards.update(zip(rows["key"].to_pylist(), rows["shard"].to_pylist(), strict=True))

    def _read_members(self, shard: str) -> dict[str, Place]:
        """Where each picture of a shard lies in its tar: offset, size and content type."""
        found = dict[str, Place]()
        with tarfile.open(self.store.path(f"{shard}.tar"), "r:") as tar:
            for member in tar:
                stem, _, extension = member.name.partition(".")
                if member.isfile() and extension in KINDS:
                    found[stem] = member.offset_data, member.size, KINDS[extension]
        return found

"""This file is the start of the labelling page: the store's pictures, the label book, and a link that only who started it knows."""

import secrets
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

from pyarrow.parquet import read_table

from unclip_labels.book import open_labels
from unclip_labels.raters import Pace
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_server.labelling import Desk, create_label_app
from unclip_server.serve import bound_socket

Say = Callable[[str], None]
KINDS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True)
class StoredPictures:
    """The pictures of the store's shards by the key of their pair."""

    store: Store

    def __call__(self, key: str) -> tuple[bytes, str] | None:
        """The bytes and the content type, or None when no shard holds the key."""
        for name in self.store.names("crawl/"):
            if name.endswith("/rows.parquet"):
                rows = read_table(self.store.path(name), columns=["shard"], filters=[("key", "==", key), ("status", "==", "ok")])
                for shard in rows["shard"].to_pylist():
                    if found := self._member(shard, key):
                        return found
        return None

    def _member(self, shard: str, key: str) -> tuple[bytes, str] | None:
        with tarfile.open(self.store.path(f"{shard}.tar"), "r:") as tar:
            for member in tar:
                stem, _, extension = member.name.partition(".")
                file = tar.extractfile(member) if stem == key and extension in KINDS else None
                if file is not None:
                    return file.read(), KINDS[extension]
        return None


def serve_labels(store: Store, host: str, port: int, pace: Pace, say: Say) -> None:
    """Serves the labelling page until interrupted. `UserError` when no category is defined or the port is busy."""
    import uvicorn

    book = open_labels(store)
    if not book.categories():
        raise UserError("there is no category to label; `unclip label define docs/specifications/weapons.md` makes one")
    desk = Desk(book, StoredPictures(store), pace, secrets.token_urlsafe(24))
    with bound_socket(host, port) as listening:
        say(f"label pictures at http://{host}:{listening.getsockname()[1]}/?door={desk.secret} (stop with Ctrl-C)")
        config = uvicorn.Config(create_label_app(desk), log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
    book.close()

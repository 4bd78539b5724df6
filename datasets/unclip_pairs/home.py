"""The home: the folder of this machine, or the bucket, under which everything is kept."""

import secrets
from pathlib import Path

from unclip_pairs.object_store import link, open_linked
from unclip_pairs.store import LINK, PART_PREFIX, Store, explained


def home_folder(address: str) -> Path:
    """The folder of this machine that an address stands for: itself, or for `s3://BUCKET/PREFIX` the folder that caches the bucket."""
    if not address.startswith("s3:"):
        return Path(address).expanduser().absolute()
    return link(address)


def open_store(root: str | Path) -> Store:
    """The store at `root`, which is created when missing: a folder, `s3://BUCKET/PREFIX`, or a folder that caches a bucket.

    `UserError` when it cannot be written, or the bucket does not answer or refuses.
    """
    folder = home_folder(root) if isinstance(root, str) and root.startswith("s3:") else Path(root).expanduser()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{PART_PREFIX}{secrets.token_hex(6)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    if not (folder / LINK).exists():
        return Store(folder)
    return open_linked(folder)

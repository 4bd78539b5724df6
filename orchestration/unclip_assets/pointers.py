"""Pointers as the assets use them: what must be there, and the names of training runs."""

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import settings_digest
from unclip_pairs.pointers import Pointer, find
from unclip_pairs.store import Store


def present(store: Store, asset: str) -> Pointer:
    """What `asset` made last; `UserError` when it has never been made."""
    pointer = find(store, asset)
    if pointer is None:
        raise UserError(f"there is no {asset} under {store} yet; run `unclip demo`, or materialize the asset {asset} in Dagster")
    return pointer


def run_name(**inputs: str | int | None) -> str:
    """12 hex digits that are the same for the same inputs, so that a run begun is found again after a crash."""
    return settings_digest(inputs)[:12]

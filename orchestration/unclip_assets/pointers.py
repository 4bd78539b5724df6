"""Pointers: which dataset, model, bundle is the present one. Nothing is ever "the newest file in the folder"."""

from dataclasses import asdict, dataclass

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import settings_digest
from unclip_pairs.store import Store


@dataclass(frozen=True)
class Pointer:
    """The name and the manifest digest of what an asset made last."""

    name: str
    digest: str


def point(store: Store, asset: str, name: str, digest: str) -> Pointer:
    """Says what `asset` made last; written only when it changes, so that nothing done looks new."""
    pointer = Pointer(name, digest)
    if find(store, asset) != pointer:
        store.write_json(f"current/{asset}.json", asdict(pointer))
    return pointer


def find(store: Store, asset: str) -> Pointer | None:
    """What `asset` made last, or None."""
    name = f"current/{asset}.json"
    return Pointer(**store.read_json(name)) if store.exists(name) else None


def present(store: Store, asset: str) -> Pointer:
    """What `asset` made last; `UserError` when it has never been made."""
    pointer = find(store, asset)
    if pointer is None:
        raise UserError(f"there is no {asset} under {store} yet; run `unclip demo`, or materialize the asset {asset} in Dagster")
    return pointer


def run_name(**inputs: str | int | None) -> str:
    """12 hex digits that are the same for the same inputs, so that a run begun is found again after a crash."""
    return settings_digest(inputs)[:12]

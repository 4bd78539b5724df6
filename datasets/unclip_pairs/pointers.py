"""Pointers: which dataset, model or embeddings are the present ones. Nothing is ever "the newest file in the folder"."""

from dataclasses import asdict, dataclass

from unclip_pairs.store import Store


@dataclass(frozen=True)
class Pointer:
    """The name and the manifest digest of what a step made last."""

    name: str
    digest: str


def point(store: Store, step: str, name: str, digest: str) -> Pointer:
    """Writes `current/<step>.json`: what the step made last; written only when it changes, so that nothing done looks new."""
    pointer = Pointer(name, digest)
    if find(store, step) != pointer:
        store.write_json(f"current/{step}.json", asdict(pointer))
    return pointer


def find(store: Store, step: str) -> Pointer | None:
    """What the step made last, or None."""
    name = f"current/{step}.json"
    return Pointer(**store.read_json(name)) if store.exists(name) else None

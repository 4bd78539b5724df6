"""Caption lists: which texts of its page a pair has beside its caption, as the policy chose them with the safety verdicts."""

from dataclasses import dataclass

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, read_manifest
from unclip_pairs.store import Store

CAPTION_LISTS = "verdicts/captions"
CAPTION_LIST_SCHEMA = pa.schema([("key", pa.string()), ("texts", pa.list_(pa.string())), ("sources", pa.list_(pa.string()))])


@dataclass(frozen=True)
class CaptionList:
    """Further captions of a pair, best first, and for each the column of the crawl that it comes from."""

    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def caption_lists_manifest(store: Store) -> Manifest | None:
    """The manifest of the lists, None when none were chosen; `UserError` when the safety verdicts have changed since."""
    manifest = read_manifest(store, f"{CAPTION_LISTS}.json")
    safety = read_manifest(store, "verdicts/safety.json")
    if manifest is not None and manifest.inputs != {"verdicts/safety": safety.digest if safety else ""}:
        raise UserError(f"the captions in {store} were chosen by other verdicts than verdicts/safety; run `unclip data curate` again")
    return manifest


def read_caption_lists(store: Store) -> dict[str, CaptionList]:
    """The list of each pair that has one, by key. Errors as in `caption_lists_manifest`."""
    if caption_lists_manifest(store) is None:
        return {}
    table = read_table(store.path(f"{CAPTION_LISTS}.parquet"), schema=CAPTION_LIST_SCHEMA)
    columns = (table[name].to_pylist() for name in CAPTION_LIST_SCHEMA.names)
    return {key: CaptionList(tuple(texts), tuple(sources)) for key, texts, sources in zip(*columns, strict=True)}

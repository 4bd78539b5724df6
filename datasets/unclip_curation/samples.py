"""Samples to look at: the crawled pictures of some keys, spread evenly, as a sheet or inside a page."""

import base64
import io
from collections.abc import Sequence

import pyarrow as pa
from PIL import Image

from unclip_curation.tables import open_tables
from unclip_pairs.images import contact_sheet, decode
from unclip_pairs.shards import read_shard
from unclip_pairs.store import Store

COLUMNS = 8


def spread(keys: Sequence[str], count: int) -> list[str]:
    """At most `count` of the keys, evenly from the first to the last."""
    return [keys[len(keys) * i // count] for i in range(count)] if len(keys) > count else list(keys)


def pictures_of(store: Store, keys: Sequence[str]) -> dict[str, Image.Image]:
    """The stored pictures by key, in the order of `keys`; keys without a picture are left out."""
    with open_tables(store) as connection:
        connection.register("wanted", pa.table({"key": pa.array(keys, pa.string())}))
        rows = connection.execute("SELECT key, shard FROM pairs SEMI JOIN wanted USING (key) WHERE status = 'ok'").fetchall()
    wanted, found = {key for key, _ in rows}, dict[str, Image.Image]()
    for shard in sorted({shard for _, shard in rows}):
        for sample in read_shard(store, shard):
            if sample["__key__"] in wanted:
                found[sample["__key__"]] = decode(sample[next(kind for kind in ("png", "jpg", "webp") if kind in sample)])
    return {key: found[key] for key in keys if key in found}


def sheet_of(store: Store, keys: Sequence[str], count: int = 48, tile: int = 96) -> Image.Image | None:
    """A contact sheet of up to `count` of the keys' pictures; None when there is none."""
    images = list(pictures_of(store, spread(keys, count)).values())
    return contact_sheet([images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)], tile=tile) if images else None


def data_address(image: Image.Image) -> str:
    """The picture as a JPEG inside an address, so that a page stands alone."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

"""Recheck: pictures stored under another hash list, or under none, are held against the one named now.

What is known of a stored picture is the sha256 of its original bytes, which its row keeps, and its PDQ hash; its md5 is not.
"""

from dataclasses import replace

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_crawl.journal.journal import number_after
from unclip_crawl.journal.rows import CrawlRow, failed_row, pair_of
from unclip_crawl.pictures.hash_list import HashList
from unclip_crawl.pictures.prepare import LISTED
from unclip_pairs.images import decode
from unclip_pairs.manifest import read_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.shards import Sample, read_shard, shard_names, write_shard
from unclip_pairs.store import Store


def expel_listed(store: Store, batch: str, hash_list: HashList) -> int:
    """Takes listed pictures out of the batch's shards, leaving rows of status listed_hash; gives how many.

    Shards that were held against this very list are not opened.
    """
    names = [name for part in ("shard-", "open/") for name in shard_names(store, f"crawl/{batch}/{part}")]
    return sum(_expel(store, batch, name, hash_list) for name in names)


def _expel(store: Store, batch: str, name: str, hash_list: HashList) -> int:
    manifest = read_manifest(store, f"{name}.json")
    if manifest is None or manifest.settings.get("hash_list") == hash_list.digest:
        return 0
    rows = {row["key"]: row for row in read_table(store.path(f"{name}.parquet"), schema=CRAWL_SCHEMA).to_pylist()}
    samples = list(read_shard(store, name))
    listed = {sample["__key__"] for sample in samples if _is_listed(sample, rows[sample["__key__"]], hash_list)}
    settings = manifest.settings | {"hash_list": hash_list.digest}
    if not listed:
        write_manifest(store, f"{name}.json", replace(manifest, settings=settings))
        return 0
    # the batch is not finished any more; then their rows: a kill in between leaves a shard that is looked at again
    store.remove(f"crawl/{batch}/manifest.json")
    log = [failed_row(pair_of(rows[key]), "listed_hash", LISTED) for key in sorted(listed)]
    number = number_after(store.names(f"crawl/{batch}/journal/"))
    store.write_json(f"crawl/{batch}/journal/{number:06d}.json", {"rows": log, "pages": []})
    kept = pa.Table.from_pylist([row for key, row in rows.items() if key not in listed], schema=CRAWL_SCHEMA)
    remaining = [sample for sample in samples if sample["__key__"] not in listed]
    write_shard(store, name, remaining, kept, kind=manifest.kind, settings=settings)
    return len(listed)


def _is_listed(sample: Sample, row: CrawlRow, hash_list: HashList) -> bool:
    picture = next(sample[kind] for kind in ("png", "jpg", "webp") if kind in sample)
    digest = row["sha256"]
    assert digest is not None, "a stored picture has a digest"
    return bytes.fromhex(digest) in hash_list.exact or hash_list.lists_picture(decode(picture))

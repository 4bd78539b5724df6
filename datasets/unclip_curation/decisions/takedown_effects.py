"""Withdrawal: which pairs a takedown means, and which files and sets still hold them."""

import pyarrow as pa
from pyarrow.parquet import read_table

from unclip_curation.features import batches
from unclip_curation.tables import open_tables
from unclip_pairs.manifest import read_manifest
from unclip_pairs.shards import shard_names
from unclip_pairs.store import Store
from unclip_pairs.takedowns import Takedown, Takedowns, checked, plain_url

_BY_KIND = {
    "url": "split_part(url, '#', 1) IN (?, ?)",
    "key": "key = ?",
    "host": "host = ? OR ends_with(host, '.' || ?)",
    "hash": "sha256 = ?",
}


def meant_by(store: Store, kind: str, value: str, reason: str = "", requested_by: str = "") -> Takedown:
    """The request with every crawled pair that it means.

    Whoever names an address, a key or a hash means the picture: exact copies of it, from wherever they came, go too. A host stands for
    its pairs alone, those of hosts below it included. `UserError` when the value does not look like one of its kind.
    """
    named = checked(kind, value)
    if not batches(store):
        return Takedown(kind=kind, value=named, reason=reason, requested_by=requested_by)
    with open_tables(store) as connection:
        # rows hold addresses as they were found, requests hold them in plain form
        values = [named, value.strip()] if kind == "url" else [named] * _BY_KIND[kind].count("?")
        rows = connection.execute(f"SELECT key, sha256, url FROM pairs WHERE {_BY_KIND[kind]}", values).fetchall()
        digests = sorted({sha256 for _, sha256, _ in rows if sha256}) if kind != "host" else []
        connection.register("taken", pa.table({"sha256": pa.array(digests, pa.string())}))
        copies = connection.execute("SELECT key, sha256, url FROM pairs SEMI JOIN taken USING (sha256)").fetchall()
    met = [*rows, *copies]
    keys, urls = ({row[column] for row in met} for column in (0, 2))
    addresses = tuple(sorted(plain_url(url) for url in urls if url.startswith(("http://", "https://")))) if kind != "host" else ()
    return Takedown(
        kind=kind, value=named, reason=reason, requested_by=requested_by, keys=tuple(sorted(keys)), urls=addresses, sha256=tuple(digests)
    )


def holders(store: Store, keys: set[str]) -> dict[str, list[str]]:
    """The published datasets and verdicts that hold one of the pairs, by the digest of their manifest, each with the keys it holds."""
    found: dict[str, list[str]] = {}
    for name in store.names("datasets/"):
        if name.endswith("/manifest.json") and (manifest := read_manifest(store, name)) is not None:
            folder = name.removesuffix("manifest.json")
            shards = shard_names(store, folder)
            held = {key for shard in shards for key in read_table(store.path(f"{shard}.parquet"), columns=["key"])["key"].to_pylist()}
            found |= {manifest.digest: sorted(held & keys)} if held & keys else {}
    for name in store.names("verdicts/"):
        stem = name.removesuffix(".json")
        if stem == name or not store.exists(f"{stem}.parquet") or (manifest := read_manifest(store, name)) is None:
            continue
        table = read_table(store.path(f"{stem}.parquet"))
        if "keep" in table.column_names:
            held = set(table.filter(table["keep"])["key"].to_pylist())
            found |= {manifest.digest: sorted(held & keys)} if held & keys else {}
    return found


def remaining_files(store: Store, keys: set[str]) -> list[str]:
    """The crawl's shards in which bytes of the pictures still lie; they stay until somebody deletes them."""
    with open_tables(store) as connection:
        connection.register("taken", pa.table({"key": pa.array(sorted(keys), pa.string())}))
        rows = connection.execute(
            "SELECT DISTINCT shard FROM pairs SEMI JOIN taken USING (key) WHERE status = 'ok' ORDER BY shard"
        ).fetchall()
    return [f"{shard}.tar" for (shard,) in rows]


def still_published(store: Store, version: str, takedowns: Takedowns) -> list[str]:
    """Objections: pairs in a published set that were taken down."""
    names = shard_names(store, f"datasets/{version}/")
    held = {key for name in names for key in read_table(store.path(f"{name}.parquet"), columns=["key"])["key"].to_pylist()}
    both = held & takedowns.keys
    return [f"{len(both)} pairs in {version} were taken down; publish again"] if both else []

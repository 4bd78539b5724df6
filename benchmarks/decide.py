"""How fast is the whole default policy over millions of rows, beside the same rules written in pandas?

Rows are synthetic columns in a store of the usual layout: crawl, picture, caption, safety, faces, block list, agreement, duplicates, in
shares that let every rule find something. Ours is `unclip_curation.decisions.verdicts.decide` up to the final stage, from Parquet files
to a Parquet file; the peer reads the same files and ends in verdicts of its own, which must be the same for every key. Each side runs in
a process of its own.

Ten million rows do not fit in the memory of a machine of 24 GB with pandas (2.2 GB a million), so both sides are compared on the first
half of the batches (`--peer-batches`), and ours decides all of them as well. Nothing is scaled: each figure is of the rows it names.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from unclip_curation.decisions.verdicts import counts, decide
from unclip_curation.policy import load_policy
from unclip_pairs.home import open_store
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.store import Store

BATCHES = 10
# column by column; r(i, n) is a share in [0, 1) that depends on the row and on n
TABLES = {
    "crawl/{batch}/rows": """
        key, 'http://site/' || i || '.png' AS url, 'http://site/page' || i // 40 AS page_url, 'a drawing of thing ' || i AS caption,
        CASE WHEN r(i, 1) < 0.9 THEN 'MIT' WHEN r(i, 1) < 0.95 THEN 'CC-BY-4.0' ELSE 'proprietary' END AS licence, 'site' AS host,
        CASE WHEN r(i, 2) < 0.96 THEN 'ok' WHEN r(i, 2) < 0.98 THEN 'http_error' ELSE 'opt_out' END AS status, '' AS detail,
        md5(i::VARCHAR) AS sha256, 1000 AS byte_count, 'image/png' AS content_type, (20 + 900 * sqrt(r(i, 3)))::INT AS original_width,
        (20 + 900 * sqrt(r(i, 4)))::INT AS original_height, 128 AS width, 128 AS height, 's' AS shard, '2026-01-01' AS fetched_at""",
    "features/{batch}/picture": """
        key, CASE WHEN r(i, 5) < 0.99 THEN 'ok' ELSE 'decode_error' END AS decode_status, (8 * r(i, 6))::FLOAT AS entropy,
        (100 * r(i, 7))::FLOAT AS contrast, r(i, 8)::FLOAT AS flat_share, md5(i::VARCHAR) AS pixels_sha256""",
    "features/{batch}/caption": """
        key, (400 * r(i, 9))::INT + 2 AS characters, (20 * r(i, 10))::INT + 1 AS words, (0.45 + 0.55 * r(i, 11))::FLOAT AS latin_share,
        CASE WHEN r(i, 12) < 0.9 THEN ['en', 'de'] ELSE ['de', 'en'] END AS languages, [0.9::FLOAT, 0.05::FLOAT] AS language_scores,
        r(i, 13) < 0.02 AS email, CASE WHEN r(i, 14) < 0.02 THEN 'file name' END AS boilerplate,
        CASE WHEN r(i, 15) < 0.01 THEN 'same' || (i % 50) ELSE md5(i::VARCHAR) END AS text_digest""",
    "features/{batch}/safety": """
        key, pow(r(i, 16), 9)::FLOAT AS open_nsfw, pow(r(i, 17), 9)::FLOAT AS xyran_sexual,
        pow(r(i, 18), 9)::FLOAT AS xyran_graphic""",
    "features/{batch}/faces": """
        key, CASE WHEN r(i, 28) < 0.02
            THEN [{'x': 0.2::FLOAT, 'y': 0.2::FLOAT, 'width': 0.4::FLOAT, 'height': 0.4::FLOAT, 'score': 0.9::FLOAT}]
        ELSE [] END AS boxes, (r(i, 28) < 0.02)::INT AS face_count, r(i, 29)::FLOAT AS photo_score""",
    "features/{batch}/blocklist": "key, CASE WHEN r(i, 19) < 0.001 THEN 20 ELSE 200 END AS block_distance, NULL::VARCHAR AS block_label",
    "features/agreement": "key, 'p' AS page_url, r(i, 20)::FLOAT AS rank, 40 AS page_rows, (1.5 + 40 * r(i, 21))::FLOAT AS page_fit",
}
CANDIDATES = """
    SELECT key_of(i) AS a, key_of(i + 1) AS b, r(i, 22) < 0.3 AS same_bytes, false AS same_pixels, (60 * r(i, 23))::INT AS pdq_distance,
    false AS mirrored, 0 AS rotation, 80 AS pdq_quality, (12 * r(i, 24))::FLOAT AS grid_mean, (60 * r(i, 25))::FLOAT AS grid_peak,
    (0.9 + 0.1 * r(i, 26))::FLOAT AS cosine
    FROM range({rows} - 1) AS t(i) WHERE r(i, 27) < 0.05"""


def build(store: Store, rows: int) -> None:
    """Writes the columns of `rows` rows, manifests last."""
    connection = duckdb.connect()
    connection.execute("CREATE MACRO key_of(i) AS lpad(to_hex((i::HUGEINT * 2654435761 % 1099511627776)::BIGINT), 20, '0')")
    connection.execute("CREATE MACRO r(i, n) AS (hash(i, n) % 1000003) / 1000003.0")
    for name, columns in TABLES.items():
        parts = BATCHES if "{batch}" in name else 1
        for part in range(parts):
            here = f"range({rows * part // parts}, {rows * (part + 1) // parts})"
            query = f"SELECT {columns} FROM (SELECT i, key_of(i) AS key FROM {here} AS t(i))"
            _written(connection, store, name.format(batch=f"b{part}"), query)
    _written(connection, store, "features/duplicates", CANDIDATES.format(rows=rows))
    for part in range(BATCHES):
        write_manifest(store, f"crawl/b{part}/manifest.json", make_manifest(store, "crawl", [f"crawl/b{part}/rows.parquet"]))


def _written(connection: duckdb.DuckDBPyConnection, store: Store, name: str, query: str) -> None:
    path = store.path(f"{name}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    if name.startswith("features"):
        write_manifest(store, f"{name}.json", make_manifest(store, "features", [f"{name}.parquet"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--peer-batches", type=int, default=BATCHES // 2, help=f"of {BATCHES}: those that both sides decide")
    parser.add_argument("--folder", type=Path, help="where the columns are kept for the next run; a temporary folder when left out")
    parser.add_argument("--ours", action="store_true", help="run our side alone, in this process, on the columns in --folder")
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(measured(options.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(options.folder or Path(temporary), options.rows, options.peer_batches)


def compare(folder: Path, rows: int, peer_batches: int) -> None:
    """Decides all rows by ours and some by both, and prints what they took."""
    half, whole = folder / "half", folder / "whole"
    for part, count in ((half, rows * peer_batches // BATCHES), (whole, rows)):
        if not (part / "crawl").exists():
            build(open_store(part), count)
    peer = [str(Path(__file__).with_name("peers") / "decide_pandas.py"), str(half), json.dumps(load_policy().settings)]
    ours, pandas, all_rows = (
        _told([__file__, "--ours", "--folder", str(half)]),
        _told(peer),
        _told([__file__, "--ours", "--folder", str(whole)]),
    )
    differing = differences(half)
    assert not differing and ours["counts"] == pandas["counts"], f"{differing} verdicts differ: {ours['counts']}, {pandas['counts']}"
    print(f"all {ours['counts']['rows']:,} verdicts of both sides are the same, {ours['counts']['kept']:,} kept")
    for name, told in (("ours", ours), ("pandas", pandas), ("ours", all_rows)):
        millions = f"{told['counts']['rows'] / 1e6:g}M"
        print(f"figure decide_{name}_{millions} {told['seconds']:.1f} s")
        print(f"figure decide_{name}_{millions}_peak {told['peak_mb']:.0f} MB")
    print(f"ratio decide {pandas['seconds'] / ours['seconds']:.2f}")


def differences(folder: Path) -> int:
    """How many keys do not have the same verdict with the same reasons on both sides."""
    query = f"""SELECT count(*) FROM '{folder}/verdicts/final.parquet' AS ours FULL JOIN '{folder}/pandas.parquet' AS pandas USING (key)
        WHERE ours.keep IS DISTINCT FROM pandas.keep OR list_sort(ours.reasons) <> list_sort(coalesce(pandas.reasons, []))"""
    row = duckdb.connect().execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _told(arguments: list[str]) -> dict[str, Any]:
    """The last line of a process of its own, as JSON; what it complains of is seen."""
    return json.loads(subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def measured(folder: Path) -> dict[str, Any]:
    """Seconds, peak memory and the counts by reason of the stage `final`, decided from nothing."""
    store = open_store(folder)
    store.path("verdicts/final.json").unlink(missing_ok=True)
    began = time.perf_counter()
    decide(store, "final", load_policy())
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mb": peak, "counts": counts(store, "final")}


if __name__ == "__main__":
    main()

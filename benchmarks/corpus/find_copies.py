"""Finds copies among the picture files of a folder: our side of the second part of `benchmarks/dedupe.py`.

Files are decoded and fingerprinted in two processes, as scorers are; pairs are sought by bytes and hashes in eight orientations,
and the default policy's thresholds decide, turned pictures counted. `FOLDER/ours.json` holds the pairs.
"""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from unclip_curation.policy import load_policy
from unclip_curation.scorers.pictures import fingerprint
from unclip_curation.similarity.likeness import FINGERPRINT_SCHEMA, as_pictures, candidates

ALIKE = """
    SELECT DISTINCT a, b FROM found WHERE same_bytes OR same_pixels OR pdq_distance <= $duplicate_pdq AND pdq_quality >= $duplicate_quality
    AND grid_mean <= $duplicate_grid AND grid_peak <= $duplicate_grid_peak"""


def row(path: str) -> dict[str, Any]:
    file = Path(path)
    return fingerprint(file.read_bytes(), pixels=False) | {"key": file.name}


def main() -> None:
    folder = Path(sys.argv[1])
    settings = load_policy().settings
    began, used = time.perf_counter(), sum(os.times()[:4])
    files = sorted(str(path) for path in (folder / "pictures").iterdir())
    with multiprocessing.Pool(os.cpu_count()) as pool:
        rows = pool.map(row, files, chunksize=64)
    hashed = time.perf_counter()
    found = candidates(as_pictures(pa.Table.from_pylist(rows, schema=FINGERPRINT_SCHEMA)))
    thresholds = {name: settings[name] for name in ("duplicate_pdq", "duplicate_quality", "duplicate_grid", "duplicate_grid_peak")}
    connection = duckdb.connect()
    connection.register("found", found)
    pairs = connection.execute(ALIKE, thresholds).fetchall()
    seconds, processor = time.perf_counter() - began, sum(os.times()[:4]) - used
    (folder / "ours.json").write_text(json.dumps(pairs))
    print(json.dumps({"seconds": seconds, "processor": processor, "search": seconds - (hashed - began)}))


if __name__ == "__main__":
    main()

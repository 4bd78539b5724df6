"""How fast, how complete and how exact is the search for semantic duplicates among a million embeddings?

Rows of 512 numbers lie around topics of some 4,000 rows each, larger than the cells of the search, so that borders cut through them. A
tenth of the rows stand in planted groups of two to five near-duplicates. Claimed on 2 cores: minutes, a bounded peak, pair recall of at
least 0.97 at a precision of at least 0.99, and time that grows from 100,000 to 1,000,000 rows with an exponent of at most 1.2. Each size
runs in a process of its own; recall is measured against every planted pair whose cosine is at least 0.95.

And how fast and how complete is the search for changed copies among 10,000 picture files, beside imagededup's PHash at its default
settings? Both sides read the same files, hash them on all cores and find pairs; one picture in four is a copy that was recompressed,
halved, made brighter, cropped, mirrored or turned. Claimed: a third of imagededup's time. Recall is told for each change, and precision.
imagededup is installed at its newest release into an environment of its own, `.venv-peers/imagededup`, where it is missing.

The last part adds 10,000 rows to 200,000 that are known. Comparisons grow with what is added; finding the cells of embeddings is one
pass over all rows.

    python benchmarks/dedupe.py [--rows 100000 1000000] [--pictures 10000] [--only embeddings pictures rounds]
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from unclip_curation.similarity.hashes import MAX_RADIUS, within
from unclip_curation.similarity.neighbours import close_pairs, normalised

DIM = 512
COSINE = 0.95
GROUPED = 0.1  # share of rows that stand in a planted group


def planted(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """float32 [rows, 512] of length one in random order, and the planted group of each row, -1 for none."""
    rng = np.random.default_rng(seed)
    topics = normalised(rng.standard_normal((max(10, rows // 4_000), DIM), dtype=np.float32))
    vectors = topics[rng.integers(len(topics), size=rows)]
    for start in range(0, rows, 50_000):
        part = vectors[start : start + 50_000]
        part += 1.1 / math.sqrt(DIM) * rng.standard_normal(part.shape, dtype=np.float32)
    vectors = normalised(vectors)
    group = np.full(rows, -1)
    sizes = rng.integers(2, 6, size=int(rows * GROUPED / 3.5))
    ends = np.cumsum(sizes)
    for number, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        group[start:end] = number
        # two members at a distance of `spread` from their first have a cosine of about 1 / (1 + spread^2)
        spread = math.sqrt(1 / rng.uniform(0.945, 1.0) - 1)
        vectors[start:end] = vectors[start] + spread / math.sqrt(DIM) * rng.standard_normal((end - start, DIM), dtype=np.float32)
    order = rng.permutation(rows)
    return normalised(vectors[order]), group[order]


def planted_pairs(vectors: NDArray[np.float32], group: NDArray[np.int64]) -> set[tuple[int, int]]:
    """The pairs of one group whose cosine is at least COSINE."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    pairs = set[tuple[int, int]]()
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        i, j = np.nonzero(np.triu(vectors[members] @ vectors[members].T >= COSINE, 1))
        pairs |= {(int(min(a, b)), int(max(a, b))) for a, b in zip(members[i], members[j], strict=True)}
    return pairs


def search(folder: Path) -> dict[str, Any]:
    """Seconds, peak memory and the number of rows that a policy would drop; the pairs go to a file."""
    began = time.perf_counter()
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    pairs, _ = close_pairs(vectors, COSINE)
    graph = sparse.coo_matrix((np.ones(len(pairs), dtype=bool), tuple(pairs.T)), shape=(len(vectors), len(vectors)))
    components, _ = connected_components(graph, directed=False)
    seconds = time.perf_counter() - began
    np.save(folder / "pairs.npy", pairs, allow_pickle=False)
    return {"seconds": seconds, "peak_mb": peak_mb(), "dropped": len(vectors) - int(components)}


def peak_mb() -> float:
    """The most memory this process held. (`ru_maxrss` would count what its parent held when it started it.)"""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def measured(rows: int, folder: Path) -> dict[str, Any]:
    """What a search in a process of its own told, and the recall and precision of its pairs."""
    vectors, group = planted(rows)
    np.save(folder / "vectors.npy", vectors, allow_pickle=False)
    command = [sys.executable, __file__, "--search", str(folder)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    true = planted_pairs(vectors, group)
    found = {(int(a), int(b)) for a, b in np.load(folder / "pairs.npy", allow_pickle=False)}
    both = len(true & found)
    return told | {"planted": len(true), "recall": both / len(true), "precision": both / max(1, len(found))}


def embeddings(sizes: list[int]) -> None:
    """Prints how long, how much memory, how complete and how exact for each size, and the exponent of the time."""
    told = list[dict[str, Any]]()
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            told.append(measured(rows, Path(folder)))
        units = {"seconds": "s", "peak_mb": "MB", "planted": "pairs", "recall": "", "precision": "", "dropped": "rows"}
        for name, unit in units.items():
            print(f"figure dedupe_{rows}_{name} {told[-1][name]:.5g} {unit}".rstrip(), flush=True)
    if len(told) > 1:
        growth = math.log(told[-1]["seconds"] / told[0]["seconds"]) / math.log(sizes[-1] / sizes[0])
        print(f"figure dedupe_exponent {growth:.3f}")


def rounds(known: int = 200_000, new: int = 10_000) -> None:
    """Prints how long it takes to search everything, and to add few rows to many known ones: embeddings, then hashes in one orientation."""
    vectors, _ = planted(known + new)
    hashes = np.random.default_rng(0).integers(0, 256, (known + new, 32), dtype=np.uint8)
    searches = {
        "embeddings": lambda first: close_pairs(vectors, COSINE, known=first),
        "hashes": lambda first: within(hashes, hashes[first:], MAX_RADIUS),
    }
    for what, search_from in searches.items():
        used = list[float]()
        for name, first in (("all", 0), ("added", known)):
            began, before = time.perf_counter(), time.process_time()
            search_from(first)
            used.append(time.process_time() - before)
            print(f"figure dedupe_{name}_{what} {time.perf_counter() - began:.2f} s")
            print(f"figure dedupe_{name}_{what}_processor {used[-1]:.2f} s", flush=True)
        print(f"ratio dedupe_added_{what} {used[0] / used[1]:.1f}")


def pictures(rows: int, folder: Path) -> None:
    """Prints both sides' seconds, recall by change and precision, and the ratio of their times."""
    here, peer = Path(__file__).parent, Path(__file__).parents[1] / ".venv-peers/imagededup/bin/python"
    subprocess.run([sys.executable, str(here / "corpus/draw_copies.py"), str(folder), "--rows", str(rows)], check=True)
    if not peer.exists():
        uv = [str(Path(sys.executable).with_name("uv"))]
        subprocess.run([*uv, "venv", "--quiet", str(peer.parents[1])], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(peer), "imagededup"], check=True)
    sides = {
        "ours": [sys.executable, str(here / "corpus/find_copies.py")],
        "imagededup": [str(peer), str(here / "peers/dedupe_imagededup.py")],
    }
    seconds, processor = dict[str, float](), dict[str, float]()
    for side, command in sides.items():
        answer = subprocess.run([*command, str(folder)], check=True, stdout=subprocess.PIPE, text=True).stdout
        told = json.loads(answer.splitlines()[-1])
        seconds[side], processor[side] = told["seconds"], told["processor"]
        print(f"figure dedupe_pictures_{side} {seconds[side]:.1f} s")
        print(f"figure dedupe_pictures_{side}_processor {processor[side]:.1f} s")
        _tell_recall(side, folder)
    print(f"ratio dedupe_processor_seconds {processor['imagededup'] / processor['ours']:.2f}")
    print(f"ratio dedupe_pdq_over_imagededup {seconds['imagededup'] / seconds['ours']:.2f}")


def _tell_recall(side: str, folder: Path) -> None:
    found = {(min(pair), max(pair)) for pair in json.loads((folder / f"{side}.json").read_text())}
    true = {
        (min(copy, original), max(copy, original)): change for copy, original, change in json.loads((folder / "truth.json").read_text())
    }
    for change in dict.fromkeys(true.values()):
        mine = {pair for pair, name in true.items() if name == change}
        print(f"figure dedupe_recall_{change}_{side} {len(mine & found) / len(mine):.3f}")
    print(f"figure dedupe_recall_{side} {len(true.keys() & found) / len(true):.3f}")
    print(f"figure dedupe_precision_{side} {len(true.keys() & found) / max(1, len(found)):.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of embeddings, ascending")
    parser.add_argument("--pictures", type=int, default=10_000, help="number of picture files")
    parts = ("embeddings", "pictures", "rounds")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to run")
    parser.add_argument("--search", type=Path, help="search the embeddings in this folder, in this process")
    options = parser.parse_args()
    if options.search:
        print(json.dumps(search(options.search)))
        return
    if "embeddings" in options.only:
        embeddings(options.rows)
    if "pictures" in options.only:
        with tempfile.TemporaryDirectory() as folder:
            pictures(options.pictures, Path(folder))
    if "rounds" in options.only:
        rounds()


if __name__ == "__main__":
    main()

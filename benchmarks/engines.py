"""Does the curate job give the same bits on a Ray cluster as on this machine's processes, also when a node dies, in flat memory per worker?

The corpus of `score.py` (drawn pictures) is curated three times, from copies of one crawl: by the local engine; by Ray on a cluster of
three nodes on this machine; by Ray again, one node killed (its raylet, SIGKILL) while pictures are being scored. Every Parquet file of
features, embeddings and verdicts is compared byte by byte. Memory is the largest resident set of any actor (Linux: VmHWM) that scores
pictures and captions, at 1x and at 10x rows; without the networks, which would only take longer.

    python benchmarks/engines.py [--rows 512]     # needs the extra ray
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from unclip_curation.embeddings.embedding import squares
from unclip_curation.engines.processes import Engine, Processes
from unclip_curation.engines.ray import RayCluster
from unclip_curation.pipeline import curate
from unclip_curation.policy import load_policy
from unclip_curation.scorers import registry, runner
from unclip_pairs.home import open_store
from unclip_pairs.manifest import file_digest
from unclip_pairs.store import Store

NODES = 3
PIECE = 16  # pictures, where a node is killed: small pieces, so that some are done and some are not
MEMORY = 80 * 2**20
MADE = ("features/", "embeddings/", "verdicts/")


class Grid:
    """An embedder that needs no weights: 4 x 4 mean colours."""

    digest = "e4914e5" + "0" * 57
    dim = 48

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.reshape(len(batch), 4, 16, 4, 16, 3).mean(axis=(2, 4)).reshape(len(batch), -1).astype(np.float32) + 1

    def captions(self, texts: Any) -> NDArray[np.float32]:
        return np.ones((len(texts), self.dim), dtype=np.float32)


def load_grid() -> Any:
    return Grid(), squares(64)


@contextmanager
def cluster() -> Iterator[Any]:
    """Nodes of one CPU each, all on loopback; this process belongs to the first."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False})
    try:
        for _ in range(NODES - 1):
            nodes.add_node(num_cpus=1, object_store_memory=MEMORY)
        nodes.wait_for_nodes()
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def actors(node: Any) -> list[psutil.Process]:
    """The processes of a node that do the work."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children(recursive=True) if "MapWorker" in " ".join(child.cmdline())]


@contextmanager
def gauged(nodes: Any) -> Iterator[list[float]]:
    """The largest resident set of any actor, in MB, in a list of one value; asked four times a second."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            for node in list(nodes.list_all_nodes()):
                try:
                    peak[0] = max([peak[0], *(_peak_mb(actor.pid) for actor in actors(node))])
                except (psutil.Error, OSError):
                    continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def write_corpus(folder: Path, rows: int) -> None:
    writer = Path(__file__).parent / "corpus" / "write.py"
    subprocess.run([sys.executable, str(writer), str(folder), "--rows", str(rows)], capture_output=True, check=True)


def copied(folder: Path, name: str) -> Store:
    """A home with a copy of the crawl."""
    shutil.copytree(folder / "crawled", folder / name)
    return open_store(folder / name)


def timed(store: Store, engine: Engine, step: Callable[[str], Any] | None = None) -> float:
    """Seconds of the whole job."""
    began = time.perf_counter()
    curate(store, load_policy(), engine, load_grid, *([step] if step else []))
    return time.perf_counter() - began


def same(one: Store, other: Store) -> bool:
    """Whether both homes hold the same Parquet files, byte by byte."""
    found = [
        {name: file_digest(store.path(name)) for name in store.names() if name.startswith(MADE) and name.endswith(".parquet")}
        for store in (one, other)
    ]
    assert found[0], "nothing was made"
    return found[0] == found[1]


def killer(nodes: Any, killed: list[int]) -> Callable[[str], Any]:
    """Steps that kill a node once some of the pictures are scored, while actors are at work on it."""
    doomed = next(iter(nodes.worker_nodes))

    def step(name: str) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if not killed and name.startswith("safety") and done < total and (mine := actors(doomed)):
                killed.append(len(mine))
                nodes.remove_node(doomed, allow_graceful=False)

        return progress

    return step


def worker_memory(nodes: Any, folder: Path, rows: int) -> float:
    """The largest resident set of any actor, MB, that scores so many pictures and captions."""
    write_corpus(folder, rows)
    engine = RayCluster(address=nodes.address, workers=2)
    with gauged(nodes) as peak:
        registry.score(open_store(folder), "a", ["picture", "quality", "caption", "wording"], engine)
    return peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_corpus(folder / "crawled", options.rows)
        local = copied(folder, "local")
        print(f"figure engines_rows {options.rows}")
        print(f"figure engines_local {timed(local, Processes(2)):.1f} s", flush=True)
        with cluster() as nodes:
            whole, engine = copied(folder, "whole"), RayCluster(address=nodes.address)
            print(f"figure engines_ray {timed(whole, engine):.1f} s")
            print(f"figure engines_identical {int(same(local, whole))}", flush=True)
            one, ten = (worker_memory(nodes, folder / f"{times}x", times * options.rows) for times in (1, 10))
            print(f"figure engines_worker_memory_1x {one:.0f} MB")
            print(f"figure engines_worker_memory_10x {ten:.0f} MB")
            print(f"ratio engines_worker_memory_10x_over_1x {ten / one:.2f}", flush=True)
            runner.PIECE_SIZE = PIECE
            killed, survived = list[int](), copied(folder, "survived")
            seconds = timed(survived, engine, killer(nodes, killed))
            assert killed, "the work was done before a node could be killed; take more --rows"
            print(f"figure engines_ray_node_killed {seconds:.1f} s")
            print(f"figure engines_actors_killed {killed[0]}")
            print(f"figure engines_identical_node_killed {int(same(local, survived))}")


if __name__ == "__main__":
    main()

"""Tests of the Ray engine on a cluster of three nodes on this machine: the same bytes as the local engine, also when a node dies."""

import shutil
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from unclip_curation.embeddings import embedding
from unclip_curation.engines.processes import Processes, Work
from unclip_curation.engines.ray import RayCluster
from unclip_curation.pipeline import curate
from unclip_curation.policy import load_policy
from unclip_curation.scorers import runner
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.progress import Progress
from unclip_pairs.store import Store

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(500),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
ROWS = 192
MEMORY = 80 * 2**20
FINAL = ("features/", "verdicts/", "embeddings/")


class Grid:
    """An embedder that sees a picture as 4 x 4 colours and a caption as nothing."""

    digest = "9" * 64
    dim = 48

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.reshape(len(batch), 4, 16, 4, 16, 3).mean(axis=(2, 4)).reshape(len(batch), -1).astype(np.float32) + 1

    def captions(self, texts: Any) -> NDArray[np.float32]:
        return np.ones((len(texts), 48), dtype=np.float32)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each, all on loopback, and this process joined to them; workers import this very file's folder."""
    patch = pytest.MonkeyPatch()
    for name, value in {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0"}.items():
        patch.setenv(name, value)
    import sys

    import ray
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False})
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=MEMORY)
        nodes.wait_for_nodes()
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()
        patch.undo()


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory, crawl_into: Callable[..., Any], shapes: Callable[..., Any]) -> Callable[[], Store]:
    """Gives a new store with a copy of the same crawl in it: two batches, the second of exact duplicates."""
    rows = shapes(ROWS)
    first = open_store(tmp_path_factory.mktemp("ray") / "home")
    crawl_into(first, rows, "a")
    crawl_into(first, [row | {"caption": f"{row['caption']} again"} for row in rows[::16]], "b")

    def new() -> Store:
        folder = tmp_path_factory.mktemp("ray") / "home"
        shutil.copytree(first.root, folder)
        return open_store(folder)

    return new


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PIECE_SIZE", 8)
    monkeypatch.setattr(runner, "CAPTION_PIECE", 32)
    monkeypatch.setattr(embedding, "PIECE_SIZE", 16)


def load_grid() -> Any:
    return Grid(), embedding.squares(64)


def contents(store: Store) -> dict[str, bytes]:
    """Everything that the job made but the manifests' times: they are in the .json files, whose digests are compared instead."""
    names = [name for name in store.names() if name.startswith(FINAL)]
    return {name: store.read_json(name)["digest"] if name.endswith(".json") else store.read_bytes(name) for name in names}


@pytest.fixture(scope="module")
def local(crawled: Callable[[], Store]) -> dict[str, bytes]:
    """What the local engine makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "PIECE_SIZE", 8)
        patch.setattr(runner, "CAPTION_PIECE", 32)
        patch.setattr(embedding, "PIECE_SIZE", 16)
        store = crawled()
        final = curate(store, load_policy(), Processes(1), load_grid)
        assert final.counts["rows"] == ROWS + ROWS // 16 and final.counts["duplicate_exact"] == ROWS // 16
        return contents(store)


def actors(node: Any) -> list[psutil.Process]:
    """The actors of the work on a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children(recursive=True) if "MapWorker" in " ".join(child.cmdline())]


def test_the_curate_job_on_three_nodes_makes_the_same_bytes_as_the_local_engine(
    cluster: Any, crawled: Callable[[], Store], local: dict[str, bytes]
) -> None:
    store = crawled()
    curate(store, load_policy(), RayCluster(address=cluster.address, deadline_s=200), load_grid)
    found = contents(store)
    assert sorted(found) == sorted(local)
    assert [name for name in found if found[name] != local[name]] == []


def test_a_users_mistake_in_a_worker_is_the_sentence_and_nothing_else(cluster: Any) -> None:
    with pytest.raises(UserError, match=r"^the second is bad; leave it out$"):
        list(RayCluster(address=cluster.address, deadline_s=200).run(load_failing, [1, 2, 3]))


def load_failing() -> Work[int]:
    def fail(piece: int) -> int:
        if piece == 2:
            raise UserError("the second is bad; leave it out")
        return piece

    return fail


def test_a_node_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    cluster: Any, crawled: Callable[[], Store], local: dict[str, bytes]
) -> None:
    store, doomed, killed = crawled(), cluster.worker_nodes.copy().pop(), list[int]()

    def watch(name: str) -> Progress:
        def progress(done: int, total: int | None, message: str = "") -> None:
            if not killed and name == "safety_features a" and total is not None and done < total:
                mine = actors(doomed)
                if mine:
                    killed.append(len(mine))
                    cluster.remove_node(doomed, allow_graceful=False)

        return progress

    curate(store, load_policy(), RayCluster(address=cluster.address, deadline_s=200), load_grid, watch)
    assert killed, "no actor ran on the node before the work was done"
    found = contents(store)
    assert sorted(found) == sorted(local)
    assert [name for name in found if found[name] != local[name]] == []
    assert len(cluster.worker_nodes) == 1


def test_a_run_that_stands_still_is_given_up(cluster: Any) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match="no piece of work ended"):
        list(RayCluster(address=cluster.address, deadline_s=15).run(load_asleep, [1, 2]))
    assert time.monotonic() - began < 300, "the work itself sleeps so long"


def load_asleep() -> Work[int]:
    def sleep(piece: int) -> int:
        time.sleep(300)
        return piece

    return sleep

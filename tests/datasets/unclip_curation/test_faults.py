"""Tests of the hard end: a scoring that is killed leaves no worker behind and is finished by the next run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from unclip_curation.scorers import registry
from unclip_pairs.store import Store

SCORING = """
import sys
from pathlib import Path
from unclip_curation.scorers import registry, runner
from unclip_pairs.store import Store

if __name__ == "__main__":
    runner.PIECE_SIZE = 4
    registry.score(Store(Path(sys.argv[1])), "a", ["picture"], workers=2)
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.faults
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_scoring_leaves_no_worker_and_is_finished_by_the_next_run(
    store: Store, crawl_batch: Callable[..., Any], shapes: Callable[..., Any], tmp_path: Path
) -> None:
    crawl_batch(shapes(600))
    script = tmp_path / "scoring.py"
    script.write_text(SCORING)
    process = subprocess.Popen([sys.executable, str(script), str(store.root)])
    deadline = time.monotonic() + 120
    while not store.names("features/a/pieces/") and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers and not store.exists("features/a/picture.json"), "killed in the middle"
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)
    registry.score(store, "a", ["picture"], workers=1)
    keys = read_table(store.path("features/a/picture.parquet"))["key"].to_pylist()
    assert len(keys) == len(set(keys)) == 600

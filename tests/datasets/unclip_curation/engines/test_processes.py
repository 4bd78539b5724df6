"""Tests of the seam to the engine and the curate job on this machine's processes; `test_unclip_curation_ray.py` is the cluster's."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.decisions.verdicts import read_verdicts
from unclip_curation.embeddings.embedding import embed_on, embed_pairs, squares
from unclip_curation.engines.processes import Processes, Work
from unclip_curation.engines.ray import RayCluster, open_engine, pool_size
from unclip_curation.pipeline import STEPS, curate, measured_for
from unclip_curation.policy import Policy, load_policy
from unclip_curation.scorers.runner import score_batch
from unclip_curation.scorers.wording import WORDING
from unclip_pairs.errors import UserError
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store


class Grid:
    """An embedder that sees a picture as 4 x 4 colours and a caption as nothing."""

    digest = "9" * 64
    dim = 48

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return batch.reshape(len(batch), 4, 16, 4, 16, 3).mean(axis=(2, 4)).reshape(len(batch), -1).astype(np.float32) + 1

    def captions(self, texts: Any) -> NDArray[np.float32]:
        return np.ones((len(texts), 48), dtype=np.float32)


def load_grid() -> Any:
    return Grid(), squares(64)


def load_failing(folder: str) -> Work[int]:
    return partial(fail_at_three, folder)


def fail_at_three(folder: str, piece: int) -> int:
    if piece == 3:
        raise UserError("the third is bad; leave it out")
    Path(folder, f"{piece}-{os.getpid()}").touch()
    return piece


def test_work_of_a_user_who_erred_ends_the_run_with_the_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the third is bad"):
        list(Processes(1).run(partial(load_failing, str(tmp_path)), range(6)))
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"0", "1", "2"}


def test_an_engine_is_named_or_refused() -> None:
    assert open_engine("local") == Processes(2)
    assert open_engine("ray", 3, "10.0.0.1:6379") == RayCluster(address="10.0.0.1:6379", workers=3)
    with pytest.raises(UserError, match="choose local or ray"):
        open_engine("spark")


def test_a_pool_never_takes_all_cpus_of_a_cluster() -> None:
    assert pool_size(2, 0.5, None) == 3 and pool_size(2, 0.5, 2) == 2 and pool_size(64, 1, None) == 63
    with pytest.raises(UserError, match="add a node"):
        pool_size(1, 1, None)


def test_the_curate_job_is_done_once_and_its_own_steps_in_order(store: Store, crawl_batch: Callable[..., Any], shapes: Any) -> None:
    rows = shapes(24)
    rows.append(rows[3] | {"caption": "drawing 3 again, of the same shape and colour"})
    keys = crawl_batch(rows)
    policy = load_policy()
    begun: list[str] = []

    def watch(name: str) -> Progress:
        begun.append(name)
        return silent

    final = curate(store, policy, Processes(1), load_grid, watch)
    assert begun == [f"{step.name} a" if step.per_batch else step.name for step in STEPS]
    verdicts = {row["key"]: row["reasons"] for row in read_verdicts(store, "final").to_pylist()}
    assert set(verdicts) == set(keys) and sorted(verdicts[key] for key in (keys[3], keys[24])) == [[], ["duplicate_exact"]]
    written = {name: store.path(name).stat().st_mtime_ns for name in store.names()}
    assert curate(store, policy, Processes(1), load_grid).digest == final.digest
    assert {name: store.path(name).stat().st_mtime_ns for name in store.names()} == written
    assert [name for name in written if "/pieces/" in name] == []


def test_a_policy_says_what_the_job_measures_and_what_it_needs(store: Store, crawl_batch: Callable[..., Any], shapes: Any) -> None:
    with pytest.raises(UserError, match="no finished crawl"):
        curate(store, load_policy(), Processes(1))
    crawl_batch(shapes(2))
    default = load_policy()
    policy = Policy(default.settings | {"scorers": [*default.scorers, "toxicity", "aesthetic"]}, default.sql)
    assert {"picture", "quality", "caption", "wording", "toxicity"} <= set(measured_for(policy, "rule"))
    assert measured_for(policy, "final") == ["aesthetic"] and "toxicity" not in measured_for(default, "rule")
    with pytest.raises(UserError, match="--clip"):
        curate(store, policy, Processes(1))


def test_embedding_goes_on_where_it_was_stopped_and_gives_the_same_bytes(
    store: Store, crawl_batch: Callable[..., Any], shapes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclip_curation.embeddings.embedding.PIECE_SIZE", 4)
    keys = set(crawl_batch(shapes(10)))
    whole = embed_pairs(store, "a", Grid(), keys, prepare=squares(64))
    store.path("embeddings/99999999/a.json").unlink()

    def stop(done: int, total: int | None, message: str = "") -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_pairs(store, "a", Grid(), keys, prepare=squares(64), progress=stop)
    left = len(store.names("embeddings/99999999/pieces/"))
    assert left >= 1
    seen: list[int | None] = []
    again = embed_on(Processes(1), store, "a", load_grid, keys, progress=lambda done, total, message="": seen.append(total))
    assert set(seen) <= {10 - 4 * left, 2} and again.digest == whole.digest
    assert store.names("embeddings/99999999/pieces/") == []


def test_a_piece_of_captions_is_read_without_the_rest(
    store: Store, crawl_batch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclip_curation.scorers.runner.CAPTION_PIECE", 3)
    keys = crawl_batch([{"caption": f"word {number}", "status": "timeout"} for number in range(8)])
    score_batch(store, "a", WORDING, workers=1)
    assert read_table(store.path("features/a/wording.parquet"))["key"].to_pylist() == sorted(keys)

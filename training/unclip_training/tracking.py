"""Only place of training that speaks MLflow: curves, sample grids and where a model came from.

A thread of its own does all of it, import included, so that a training step never waits for the tracking database; and no failure in it
ends a training: it is said clearly, and the curves are in the run's `metrics.json` all the same.
"""

import queue
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unclip_pairs.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "unclip"
LARGEST_BATCH = 1000  # MLflow's own bound on metrics per call
JOIN_SECONDS = 120.0

Point = tuple[str, float, int, int]  # name, value, time in ms, step


def tracking_uri(store: Store) -> str:
    """The SQLite database of the store, as MLflow wants it named."""
    return f"sqlite:///{store.local_path('mlflow/mlflow.db').resolve()}"


def artifact_uri(store: Store) -> str:
    """The folder for artifacts, as MLflow wants it named."""
    return store.local_path("mlflow/artifacts").resolve().as_uri()


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """What is known of a run before it starts; `run_id` continues an earlier one, `uri` names a tracking server."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    run_id: str | None = None
    uri: str | None = None


def open_client(store: Store, uri: str | None = None) -> "MlflowClient":
    """A client on the tracking server at `uri`, by default on the store's own database, which is made when missing."""
    from mlflow import MlflowClient

    store.local_path("mlflow/artifacts").mkdir(parents=True, exist_ok=True)
    uri = uri or tracking_uri(store)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment_id(client: "MlflowClient", artifacts: str | None) -> str:
    """The id of our experiment; two trainings that start together may both try to create it."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    except MlflowException:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)


def _warn(text: str) -> None:
    sys.stderr.write(f"unclip-warning {text}\n")
    sys.stderr.flush()


class Tracker:
    """One run in MLflow. `failure` is the sentence that says what went wrong, or None."""

    def __init__(self, store: Store, card: RunCard, on_start: Callable[[str], None]) -> None:
        self.store, self.card, self.on_start = store, card, on_start
        self.run_id: str | None = card.run_id
        self.failure: str | None = None
        self._client: MlflowClient | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()
        self._jobs.put(self._start)

    def points(self, points: list[Point]) -> None:
        """Queues points of curves."""
        self._jobs.put(lambda: self._log_points(points))

    def picture(self, path: Path, folder: str) -> None:
        """Queues a file to be kept with the run."""
        self._jobs.put(lambda: self._open_client().log_artifact(self._started_id(), str(path), folder))

    def finish(self, status: str = "FINISHED") -> str | None:
        """Waits for what is queued, closes the run and gives its id, or None when MLflow failed."""
        self._jobs.put(lambda: self._open_client().set_terminated(self._started_id(), status))
        self._jobs.put(None)
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            self._fail(f"MLflow did not answer within {JOIN_SECONDS:.0f} s")
        return self.run_id

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.failure is not None:
                continue
            try:
                job()
            except Exception as error:  # whatever MLflow or its database raises, the training goes on
                self._fail(f"{type(error).__name__}: {str(error).strip()[:300]}")

    def _fail(self, reason: str) -> None:
        self.failure = reason
        _warn(f"tracking of {self.card.name} stopped ({reason}); training goes on, its curves are in metrics.json")

    def _open_client(self) -> "MlflowClient":
        assert self._client is not None
        return self._client

    def _started_id(self) -> str:
        assert self.run_id is not None
        return self.run_id

    def _start(self) -> None:
        self._client = client = open_client(self.store, self.card.uri)
        if self.run_id is not None and not self._continue(client, self.run_id):
            self.run_id = None
        if self.run_id is None:
            run = client.create_run(
                _experiment_id(client, None if self.card.uri else artifact_uri(self.store)),
                run_name=self.card.name,
                tags=dict(self.card.tags),
            )
            self.run_id = str(run.info.run_id)
            self._log_params(client, self.run_id)
        self.on_start(self.run_id)

    def _continue(self, client: "MlflowClient", run_id: str) -> bool:
        """Whether the earlier run is there; if so it is set running again, with the tags of this start."""
        from mlflow.exceptions import MlflowException

        try:
            client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return False
        for name, value in self.card.tags.items():
            client.set_tag(run_id, name, value)
        return True

    def _log_params(self, client: "MlflowClient", run_id: str) -> None:
        from mlflow.entities import Param

        client.log_batch(run_id, params=[Param(name, value[:500]) for name, value in self.card.params.items()])

    def _log_points(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, at, step) for name, value, at, step in points]
        for start in range(0, len(metrics), LARGEST_BATCH):
            self._open_client().log_batch(self._started_id(), metrics=metrics[start : start + LARGEST_BATCH])

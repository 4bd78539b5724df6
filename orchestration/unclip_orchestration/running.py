"""How a job runs from the command line: in this process, recorded in the Dagster instance under the home."""

import fcntl
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg

from unclip_assets.partitions import CRAWL_BATCHES
from unclip_assets.reporting.timing import TimingListener
from unclip_assets.resources import check_files, resources_for
from unclip_assets.settings import Environment
from unclip_orchestration.definitions import build
from unclip_orchestration.user_errors import user_error
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store

PROCESS_TAG = "unclip/process"
# a step's words would go through a file and two `tail` processes that a kill leaves behind; crawls and trainings have logs of their own
NOTHING_CAPTURED = {"compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SETTINGS = files("unclip_orchestration") / "dagster.yaml"
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """While the block runs, nothing else of ours runs in the same home; `UserError` when it does. A kill releases it."""
    try:
        open_store(home)
    except FileNotFoundError as error:
        raise UserError(f"{home} cannot be made; set UNCLIP_HOME to a folder you may write to") from error
    with (home / ".running").open("a") as file:
        try:
            # lockf, not flock: a forked child that outlives us must not keep the home shut
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{home} is in use by another unclip run; wait for it, or set UNCLIP_HOME to another folder") from error
        yield


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance under the home, the same that `make dev` shows."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        (folder / "dagster.yaml").write_bytes(SETTINGS.read_bytes())
    with dg.DagsterInstance.local_temp(str(folder), overrides=NOTHING_CAPTURED) as instance:
        yield instance


def bury(instance: dg.DagsterInstance) -> None:
    """Runs of command lines that were killed are reported as failed; call it while `alone`."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if PROCESS_TAG in run.tags:
            instance.report_run_failed(run, "the process that ran it was killed")


def run_job(
    instance: dg.DagsterInstance,
    environment: Environment,
    job: str,
    *,
    config: Mapping[str, Mapping[str, object]] | None = None,
    batch: str | None = None,
    listener: TimingListener | None = None,
) -> dg.ExecuteInProcessResult:
    """Runs a job to its end; `UserError` when an asset raised one, or a file that the environment names is wrong. `config` is per asset."""
    check_files(environment)
    if batch is not None:
        instance.add_dynamic_partitions(CRAWL_BATCHES, [batch])
    definitions = build(resources_for(environment, listener=listener))
    run_config = QUIET | {"ops": {name: {"config": dict(value)} for name, value in (config or {}).items()}}
    # Pipes warns of its own future, which is Dagster's affair and not the user's
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    try:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=batch, run_config=run_config, tags={PROCESS_TAG: str(os.getpid())}
        )
    except Exception as error:
        if (mistake := user_error(error)) is not None:
            raise mistake from error
        raise

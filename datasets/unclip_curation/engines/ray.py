"""Ray engine: the same work over the same pieces on a Ray cluster, by Ray Data's pool of actors.

Actors take a part of a CPU each, and the pool never all CPUs: Ray Data needs some for itself and waits for ever without (Ray 2.55). Tasks
and actors of a node that dies are started again on another one; what they had stored is found and not made again.
"""

import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypedDict

from unclip_curation.engines.processes import Engine, Load, Piece, Processes
from unclip_pairs.errors import UserError

if TYPE_CHECKING:
    from ray.data import Dataset

LOCAL = "local"
_ADDRESS = re.compile(r"auto|local|(ray://)?[^\s/]+:\d+")
RESERVED_CPUS = 0.5
PATIENCE_S = 30.0


class Result(TypedDict):
    """What became of a piece: its rows, and the user's mistake that ended the work, "" for none."""

    rows: int
    mistake: str


Results = queue.Queue[Result | BaseException | None]  # None: there are no more


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """A Ray cluster: `address` is "host:port" of its head, "auto" for the one this machine belongs to, "local" for one started here.

    Every node must reach the store under the same name and have this package installed. At most `workers` actors (None: as many as fit)
    load the work, each on `cpus` of a CPU. A run in which no piece ends for `deadline_s` seconds, the start included, is given up.
    """

    address: str = LOCAL
    workers: int | None = None
    cpus: float = 0.5
    deadline_s: float = 900.0

    def run(self, load: Load[Piece], pieces: Sequence[Piece], /) -> Iterator[int]:
        """As `Engine.run`; `UserError` when the cluster cannot be reached, is too small or stands still."""
        _connect(self.address)
        size = min(len(pieces), pool_size(_cluster_cpus(), self.cpus, self.workers))
        return _before_deadline(_planned(load, pieces, size, self.cpus), self.deadline_s)


def open_engine(name: str, workers: int | None = None, ray_address: str = LOCAL) -> Engine:
    """The engine that a user names: local (two processes unless told otherwise) or ray; `UserError` for another name or no address."""
    if name == "local":
        return Processes(2 if workers is None else workers)
    if name != "ray":
        raise UserError(f"the engine {name!r} does not exist; choose local or ray")
    if not _ADDRESS.fullmatch(ray_address):
        raise UserError(f"the address of the Ray cluster is {ray_address!r}; give host:port of its head, auto or local")
    if find_spec("ray") is None:
        raise UserError("the engine ray needs the package ray; install it with `pip install 'unclip[ray]'`, or choose local")
    return RayCluster(address=ray_address, workers=workers)


def pool_size(cluster_cpus: float, cpus: float, workers: int | None) -> int:
    """How many actors of `cpus` each fit beside what Ray Data keeps for itself, at most `workers`; `UserError` when none does."""
    fit = int((cluster_cpus - RESERVED_CPUS) / cpus)
    if fit < 1:
        raise UserError(f"the Ray cluster has {cluster_cpus:g} CPUs and a worker needs {cpus:g} beside {RESERVED_CPUS:g}; add a node")
    return min(fit, workers or fit)


def _connect(address: str) -> None:
    """Joins the cluster once per process; what is started here listens on loopback and tells nobody of it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # else a thread that is still at work would start Ray anew at the very end
    if address == LOCAL:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # whatever the system, this is Ray's word for loopback only
    import ray

    if ray.is_initialized():
        return
    dashboard = False if address == LOCAL else None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=dashboard)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at {address!r} ({error}); start one with `ray start --head`, or say local") from error


def _cluster_cpus() -> float:
    import ray

    return float(ray.cluster_resources().get("CPU", 0.0))


class Worker:
    """One actor: loads the work once, then does piece after piece. A user's mistake travels back as a value: Ray would wrap it."""

    def __init__(self, load: Load[Piece]) -> None:
        self._work: Callable[..., int] = load()

    def __call__(self, batch: Mapping[str, Sequence[object]]) -> dict[str, list[int] | list[str]]:
        rows, mistakes = list[int](), list[str]()
        for piece in batch["piece"]:
            try:
                rows.append(self._work(piece))
                mistakes.append("")
            except UserError as error:
                rows.append(0)
                mistakes.append(str(error))
        return {"rows": rows, "mistake": mistakes}


def _planned(load: Load[Piece], pieces: Sequence[Piece], size: int, cpus: float) -> "Dataset":
    """The dataset of what the work says of each piece; nothing runs yet."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is raised
    DataContext.get_current().enable_progress_bars = False
    rows = from_items([{"piece": piece} for piece in pieces], override_num_blocks=len(pieces))
    pool = ActorPoolStrategy(min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=2)
    return rows.map_batches(Worker, fn_constructor_args=(load,), batch_size=1, compute=pool, num_cpus=cpus)


def _before_deadline(planned: "Dataset", deadline_s: float) -> Iterator[int]:
    """The results, as they come; `UserError` when none comes in time. Ray Data itself would wait for ever."""
    found: Results = queue.Queue()
    before = set(threading.enumerate())
    reader = threading.Thread(target=_feed, args=(planned, found), daemon=True)
    reader.start()
    try:
        while (item := found.get(timeout=deadline_s)) is not None:
            if isinstance(item, BaseException):
                raise item
            if item["mistake"]:
                raise UserError(item["mistake"])
            yield item["rows"]
    except queue.Empty:
        raise UserError(
            f"no piece of work ended on the Ray cluster for {deadline_s:g} s; look at `ray status`, then run the same command again"
        ) from None
    finally:
        _end_executors(before)
        reader.join(PATIENCE_S)  # a thread that still asks Ray when the process ends would abort it


def _end_executors(before: set[threading.Thread]) -> None:
    """Ends what Ray Data still runs of this run, whoever gave it up. It lets go by itself only of a run that gave something and that nobody
    holds, and has no name for the others: they are its threads that were not there before."""
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("StreamingExecutor"):
            thread.shutdown(force=True)  # pyright: ignore[reportAttributeAccessIssue]
            thread.join(PATIENCE_S)


def _feed(planned: "Dataset", found: Results) -> None:
    """Passes the results on."""
    try:
        for row in planned.iter_rows():
            found.put({"rows": int(row["rows"]), "mistake": str(row["mistake"])})
    except BaseException as error:
        found.put(error)
    else:
        found.put(None)

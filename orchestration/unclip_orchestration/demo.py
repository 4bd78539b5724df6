"""Demo: the whole pipeline on one machine, from a web of its own to a champion that paints."""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from unclip_assets.settings import Environment
from unclip_orchestration import summary
from unclip_orchestration.memory import gauged
from unclip_orchestration.progress import Lines, lines
from unclip_orchestration.running import alone, bury, instance_at, run_job
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import read_manifest
from unclip_pairs.store import Store
from unclip_starter.web import PlantedWeb

BATCH = "starter"
STORY = "demo/story.json"
TRAINED = ("clip_model", "prior_model", "decoder_model", "upsampler_256_model", "upsampler_1024_model", "judge_model")
OWN_SITE = {"allow_loopback": True, "delay_s": 0.0, "concurrency_per_host": 32, "timeout_s": 5.0, "retries": 1}  # on our own machine
CONTACT = "https://localhost/unclip-demo"


@dataclass(frozen=True)
class DemoSize:
    """How large the demo is: the corpus, the trainings, and what is painted for the figures."""

    starter: str
    steps: int | None
    num_prompts: int
    num_composed: int
    num_diverse: int

    def config(self, seeds: list[str]) -> dict[str, dict[str, object]]:
        """The configuration of the assets of the job `everything`."""
        places = {"contact": CONTACT, "seeds": seeds} | OWN_SITE
        trainings: dict[str, dict[str, object]] = {name: {"steps": self.steps} for name in TRAINED}
        numbers = {"num_prompts": self.num_prompts, "num_composed": self.num_composed, "num_diverse": self.num_diverse}
        return trainings | {"page_sources": places, "evaluation": numbers}


SIZES: Mapping[str, DemoSize] = {
    "full": DemoSize(starter="full", steps=None, num_prompts=200, num_composed=100, num_diverse=24),
    "smoke": DemoSize(starter="smoke", steps=6, num_prompts=12, num_composed=6, num_diverse=3),
}


def check_ports(port: int) -> None:
    """`UserError` when the web site's two ports are not free: better said now than after the corpus is built."""
    for wanted in (port, port + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except (OSError, OverflowError) as error:
                raise UserError(f"port {wanted} cannot be used ({error}); choose another one with --port, the same in every run") from error


def one_story(store: Store, name: str, value: str) -> None:
    """Remembers `value` of this home's story; `UserError` when the home tells another one: two corpora in one home would mix."""
    known = store.read_json(STORY) if store.exists(STORY) else {}
    if known.setdefault(name, value) != value:
        raise UserError(f"{store} holds a demo of another {name} ({known[name]}, not {value}); set UNCLIP_HOME to another folder")
    store.write_json(STORY, known)


def run_jobs(environment: Environment, size: DemoSize, port: int, listener: Lines) -> None:
    """Runs the two jobs: the starter corpus is built, then served and crawled and learned from."""
    with instance_at(environment.home) as instance:
        bury(instance)
        store = open_store(environment.home)
        one_story(store, "size", size.starter)
        run_job(instance, environment, "starter", config={"starter_site": {"size": size.starter}}, listener=listener)
        corpus = read_manifest(store, "starter/manifest.json")
        one_story(store, "starter corpus", corpus.digest[:12] if corpus else "")
        with PlantedWeb(store, port) as web:
            run_job(instance, environment, "everything", config=size.config(web.seeds), batch=BATCH, listener=listener)


def run(environment: Environment, size: str, port: int, console: Console) -> Path:
    """Runs what of the demo is not done yet; gives the path of summary.json."""
    began = time.monotonic()
    if size not in SIZES:
        raise UserError(f"--size is {size!r}; choose one of {', '.join(SIZES)}")
    check_ports(port)
    with alone(environment.home), gauged() as gauge:
        with lines(Console(stderr=True)) as listener:
            run_jobs(environment, SIZES[size], port, listener)
        store, wall = open_store(environment.home), time.monotonic() - began
        figures = summary.collect(environment, store, BATCH, wall_s=wall, step_seconds=listener.times.seconds, peak_rss_mb=gauge.peak_mb)
        path = summary.write(store, figures)
    summary.show(console, store, figures)
    return path

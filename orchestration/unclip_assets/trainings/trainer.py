"""Trainer: it runs one training in its own process through Dagster Pipes and follows its progress."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field

from unclip_assets.pointers import present, run_name
from unclip_assets.reporting.timing import TimedStep
from unclip_assets.settings import default_tracking_uri
from unclip_assets.trainings.child_process import child_command
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, read_manifest, settings_digest
from unclip_pairs.pointers import Pointer
from unclip_pairs.store import Store

PROGRESS = re.compile(rb"unclip-progress stage=\S+ step=(\d+)/(\d+) ?([^\r\n]*)")
USER_ERROR_EXIT = "code 2"
JUDGE_SIZE = "tiny"


def last_line(log: Path) -> str:
    """The last line a process wrote that is not empty, without the `unclip: ` that begins an error's sentence."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()] if log.exists() else []
    return next((line.removeprefix("unclip: ") for line in reversed(lines) if line), "it wrote nothing")


@contextmanager
def followed(log: Path, step: TimedStep) -> Iterator[None]:
    """While the block runs, passes on each step that the log reports."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(0.5):
            steps = PROGRESS.findall(log.read_bytes()[-4096:]) if log.exists() else []
            if steps:
                done, total, rest = steps[-1]
                step.progress(int(done), int(total), rest.decode(errors="replace"))

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def recipe_digest(recipe: str) -> str:
    """The digest of a recipe's settings; empty for an unknown one, which the training refuses in a sentence of its own."""
    from unclip_training.recipes.register import RECIPES

    return settings_digest(RECIPES[recipe]().settings()) if recipe in RECIPES else ""


def conditioning_clip(store: Store, recipe: str) -> Pointer | None:
    """The present CLIP for a recipe that needs one, else None; `UserError` when it is not there, or the recipe is unknown."""
    from unclip_training.recipes.register import recipe_named

    return present(store, "clip_model") if recipe_named(recipe).needs_clip else None


def beginning(store: Store, recipe: str, folder: str) -> Pointer:
    """The folder of the weights to begin with, and their digest; `UserError` when it holds none of the recipe's stage."""
    from unclip_training.beginning import find_beginning
    from unclip_training.recipes.register import recipe_named

    return Pointer(folder, find_beginning(store, folder, recipe_named(recipe).stage).digest)


@dataclass(frozen=True, kw_only=True)
class TrainingCommand:
    """Command line of one training: recipe, dataset version, run name, the run name of the CLIP it is conditioned on, and the folder of the
    weights it begins with."""

    recipe: str
    dataset: str
    run: str
    clip: str | None
    steps: int | None
    seed: int
    tracking_uri: str
    begin_from: str | None = None

    def arguments(self, store: Store) -> list[str]:
        """Program and arguments; what the training would choose by itself is left out."""
        command = [sys.executable, "-m", "unclip_training", self.recipe, "--store", str(store.root), "--dataset", self.dataset]
        command += ["--run", self.run, "--seed", str(self.seed)]
        command += ["--clip", f"models/clip/{self.clip}"] if self.clip else []
        command += ["--from", self.begin_from] if self.begin_from else []
        command += ["--tracking", self.tracking_uri] if self.tracking_uri != default_tracking_uri(store.root) else []
        return command + (["--steps", str(self.steps)] if self.steps is not None else [])


class TrainingConfig(dg.Config):
    """One launch of a training: which recipe, how long, from which seed."""

    size: str | None = Field(default=None, description="tiny, small or paper; the deployment's own when left out")
    steps: int | None = Field(default=None, description="optimiser steps; the recipe's own number when left out")
    seed: int = Field(default=0, description="the seed of everything random in the training")
    begin_from: str | None = Field(
        default=None, description="a run's folder or a bundle whose weights to begin with; random ones when left out"
    )


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training that is wanted: which recipe (and, by digest, what stands in it), on which data, in which space, from which weights (their
    folder and their digest)."""

    stage: str
    size: str
    settings: str
    dataset: Pointer
    clip: Pointer | None
    steps: int | None
    seed: int
    tracking_uri: str
    begin_from: Pointer | None = None

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return f"{self.stage}_{self.size}"

    @property
    def run(self) -> str:
        """The run's name: the same for the same training, so that it is found again after a crash; a changed recipe has another."""
        inputs = {"data": self.dataset.digest, "clip": self.clip.digest if self.clip else None}
        inputs |= {"begin_from": self.begin_from.digest} if self.begin_from else {}
        return run_name(recipe=self.recipe, settings=self.settings, steps=self.steps, seed=self.seed, **inputs)

    @property
    def folder(self) -> str:
        """The store name of the folder the run leaves its weights in."""
        return f"models/{self.stage}/{self.run}"

    def command(self, store: Store) -> list[str]:
        """The command line of the training."""
        return TrainingCommand(
            recipe=self.recipe,
            dataset=self.dataset.name,
            run=self.run,
            clip=self.clip.name if self.clip else None,
            steps=self.steps,
            seed=self.seed,
            tracking_uri=self.tracking_uri,
            begin_from=self.begin_from.name if self.begin_from else None,
        ).arguments(store)


class Trainer(dg.ConfigurableResource["Trainer"]):
    """Trains a stage in a process of its own."""

    size: str
    tracking_uri: str

    def job(self, store: Store, stage: str, config: TrainingConfig, dataset: Pointer) -> TrainingJob:
        """The training of a stage; what its recipe conditions on CLIP gets the present one. The judge has one size, whatever it judges."""
        size, uri = JUDGE_SIZE if stage == "judge" else config.size or self.size, self.tracking_uri
        recipe = f"{stage}_{size}"
        clip, settings = conditioning_clip(store, recipe), recipe_digest(recipe)
        return TrainingJob(
            stage=stage,
            size=size,
            settings=settings,
            dataset=dataset,
            clip=clip,
            steps=config.steps,
            seed=config.seed,
            tracking_uri=uri,
            begin_from=beginning(store, recipe, config.begin_from) if config.begin_from else None,
        )

    def train(
        self, context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient, store: Store, job: TrainingJob, step: TimedStep
    ) -> Manifest:
        """The run's manifest; what is trained is not trained again. `UserError` when the training refuses what it is given."""
        done = read_manifest(store, f"{job.folder}/manifest.json")
        if done is None:
            self.launch(context, pipes, store.local_path(f"logs/{job.stage}-{job.run}.log"), job.command(store), step)
            done = read_manifest(store, f"{job.folder}/manifest.json")
        assert done is not None, f"the training of {job.stage} ended well without a manifest"
        return done

    def launch(
        self, context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient, log: Path, command: list[str], step: TimedStep
    ) -> None:
        """Runs the command as a child process; its output goes to the log, its last line into the error."""
        context.log.info(f"training in its own process; its output is in {log}")
        try:
            with followed(log, step):
                pipes.run(context=context, command=child_command(log, command))
        except dg.DagsterError as error:
            if USER_ERROR_EXIT in str(error):
                raise UserError(last_line(log)) from error
            raise dg.Failure(f"the training failed: {last_line(log)}", metadata={"log": dg.MetadataValue.path(str(log))}) from error

"""Tests of the training process: tied to its parent, followed while it runs, found again under its name."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from unclip_assets.pointers import present
from unclip_assets.reporting.timing import SilentListener, TimedStep
from unclip_assets.trainings.child_process import child_command
from unclip_assets.trainings.trainer import Trainer, TrainingConfig, TrainingJob, followed, last_line, recipe_digest
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.pointers import Pointer, find, point
from unclip_training.recipes.register import RECIPES

PARENT = """
import subprocess, sys, time
from pathlib import Path
from typing import Any
from unclip_assets.trainings.child_process import child_command
words = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
child = subprocess.Popen(child_command(Path(sys.argv[1]), [sys.executable, "-c", words]))
time.sleep(60)
"""


def awaited(log: Path, seconds: float = 20) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().strip():
            return log.read_text().strip()
        time.sleep(0.05)
    raise AssertionError(f"{log} stayed empty")


def test_a_child_process_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(log)]) as parent:
        child = int(awaited(log))
        assert psutil.pid_exists(child)
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_child_process_gives_its_exit_code_and_leaves_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "import sys; sys.stderr.write('a sentence\\n\\n'); sys.exit(2)"
    done = subprocess.run(child_command(log, [sys.executable, "-c", script]), check=False)
    assert done.returncode == 2
    assert last_line(log) == "a sentence"


def test_progress_is_followed_from_the_log(tmp_path: Path) -> None:
    class Recjob(SilentListener):
        reported: tuple[str, int, int | None, str] | None = None

        def moved(self, step: str, done: int, total: int | None, message: str) -> None:
            self.reported = (step, done, total, message)

    listener, log = Recjob(), tmp_path / "log"
    with followed(log, TimedStep("decoder", listener)):
        log.write_text("hello\nunclip-progress stage=decoder step=120/4000 loss=0.0512 eta=63s\n")
        time.sleep(0.8)
    assert listener.reported == ("decoder", 120, 4000, "loss=0.0512 eta=63s")


def job(**changed: Any) -> TrainingJob:
    one = TrainingJob(
        stage="prior",
        size="tiny",
        settings=recipe_digest("prior_tiny"),
        dataset=Pointer("v-1", "d"),
        clip=Pointer("c", "e"),
        steps=3,
        seed=0,
        tracking_uri="http://tracking.example",
    )
    return replace(one, **changed)


def test_the_same_job_has_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    assert job().run == job().run == job(tracking_uri="").run
    assert job().run != job(seed=1).run
    assert job().run != job(settings=recipe_digest("prior_paper")).run, "a changed recipe is another training"
    assert recipe_digest("prior_huge") == "", "the training itself says that it does not know this recipe"
    assert job().folder == f"models/prior/{job().run}"
    words = job().command(open_store(tmp_path))
    assert words[3] == "prior_tiny" and words[words.index("--tracking") + 1] == "http://tracking.example"


def test_a_training_that_begins_with_weights_is_another_and_says_where_they_lie(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begun = job(begin_from=Pointer("models/prior/first", "w"))
    assert begun.run not in (job().run, job(begin_from=Pointer("models/prior/first", "other")).run)
    assert ["--from", "models/prior/first"] in [list(pair) for pair in pairwise(begun.command(store))]
    assert "--from" not in job().command(store)
    point(store, "clip_model", "run", "digest")
    with pytest.raises(UserError, match="is no folder in"):
        config = TrainingConfig(begin_from="models/prior/none")
        Trainer(size="tiny", tracking_uri="").job(store, "prior", config, Pointer("v-1", "d"))


def test_a_pointer_that_does_not_change_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(UserError, match="there is no clip_model"):
        present(store, "clip_model")
    point(store, "clip_model", "run", "digest")
    before = store.path("current/clip_model.json").stat().st_mtime_ns
    point(store, "clip_model", "run", "digest")
    assert store.path("current/clip_model.json").stat().st_mtime_ns == before
    assert find(store, "clip_model") == Pointer("run", "digest")


@pytest.mark.parametrize("size", ["tiny", "small", "paper"])
def test_models_of_every_size_are_judged_by_the_one_judge(size: str, tmp_path: Path) -> None:
    trainer = Trainer(size=size, tracking_uri="")
    assert trainer.job(open_store(tmp_path), "judge", TrainingConfig(), Pointer("v-1", "d")).recipe == "judge_tiny"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_present_clip_is_given_to_the_recipes_that_need_one(recipe: str, tmp_path: Path) -> None:
    store, run = open_store(tmp_path), RECIPES[recipe]()
    trainer = Trainer(size=recipe.rpartition("_")[2], tracking_uri="")
    if run.needs_clip:
        with pytest.raises(UserError, match="there is no clip_model"):
            trainer.job(store, run.stage, TrainingConfig(), Pointer("v-1", "d"))
    point(store, "clip_model", "run", "digest")
    command = trainer.job(store, run.stage, TrainingConfig(), Pointer("v-1", "d")).command(store)
    assert command[3] == recipe
    assert [place for word, place in pairwise(command) if word == "--clip"] == (["models/clip/run"] if run.needs_clip else [])

"""These tests start trainings as processes: the command, Dagster's pipe, MLflow, and two processes in step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param

from unclip_pairs.store import Store
from unclip_training.__main__ import main, parser
from unclip_training.recipes.register import RECIPES
from unclip_training.tracking import RunCard, Tracker, open_client

# MLflow's own tables are declared in a way SQLAlchemy 2.1 warns about
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning", "ignore:.*:DeprecationWarning:mlflow")

SCRIPT = """
import sys
from dataclasses import replace
from unclip_models.config import TowerConfig
from unclip_training.recipes import register, tiny
tower = TowerConfig(width=16, depth=1, heads=2)
def small():
    run = tiny.clip_tiny()
    model = replace(run.model, image_size=32, patch_size=16, vision=tower, text=tower, embed_dim=16, vocab_size=300, context=12)
    model = replace(model, locked=False, word_width=0)
    return replace(run, model=model, side=32, batch_size=8)
register.RECIPES["clip_small"] = small
from unclip_training.__main__ import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def launch(tmp_path: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command with one more recipe, in a process of its own."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=environment, check=False, timeout=280
    )


def options(store: Store, recipe: str = "clip_small", **more: str) -> list[str]:
    named = {"store": str(store.root), "dataset": "v-shapes", "run": "first", **more}
    return [recipe, *(word for name, value in named.items() for word in (f"--{name}", value))]


@pytest.mark.parametrize(
    ("recipe", "more", "sentence"),
    [("clip_huge", {}, "recipe 'clip_huge' is unknown; choose one of clip_tiny"), ("clip_tiny", {"dataset": "v-none"}, "is not published")],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    shapes: Store, recipe: str, more: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(shapes, recipe, **more)) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and "\n" not in said


def test_every_recipe_says_what_it_is_and_bears_its_own_name() -> None:
    assert set(RECIPES) >= {
        f"{stage}_{size}"
        for stage in ("clip", "prior", "decoder", "upsampler_256", "upsampler_1024")
        for size in ("tiny", "small", "paper")
    }
    for name, recipe in RECIPES.items():
        run_made = recipe()
        assert run_made.recipe == name and name.startswith(run_made.stage) and (recipe.__doc__ or "").strip()
        assert json.loads(json.dumps(run_made.settings())) == run_made.settings()


def test_the_command_takes_what_the_orchestration_gives() -> None:
    taken = parser().parse_args(
        ["prior_tiny", "--store", "s", "--dataset", "v", "--run", "r", "--clip", "models/clip/r", "--steps", "3", "--seed", "1"]
    )
    assert (taken.recipe, taken.steps, taken.seed, taken.clip) == ("prior_tiny", 3, 1, "models/clip/r")


@pytest.mark.slow
def test_a_training_under_pipes_reports_its_asset_and_is_tracked(shapes: Store, tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    messages.touch()
    context = {
        "asset_keys": ["clip_model"],
        "code_version_by_asset_key": {"clip_model": None},
        "provenance_by_asset_key": {"clip_model": None},
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run-of-dagster",
        "job_name": "train",
        "retry_number": 0,
        "extras": {},
    }
    file = tmp_path / "context.json"
    file.write_text(json.dumps(context))
    pipes = {
        DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"path": str(file)}),
        DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": str(messages)}),
    }
    done = launch(tmp_path, *options(shapes, steps="12"), **pipes)
    assert done.returncode == 0, done.stderr
    assert "unclip-progress stage=clip step=12/12 loss=" in done.stdout
    report = next(m for m in map(json.loads, messages.read_text().splitlines()) if m["method"] == "report_asset_materialization")
    assert report["params"]["metadata"]["folder"]["raw_value"] == "models/clip/first"
    manifest = json.loads(shapes.read_bytes("models/clip/first/manifest.json"))
    assert manifest["settings"]["dagster_run_id"] == "run-of-dagster"
    tracked = open_client(shapes).get_run(manifest["settings"]["mlflow_run_id"])
    assert tracked.info.status == "FINISHED" and tracked.data.tags["dataset_digest"] == manifest["inputs"]["dataset"]
    assert tracked.data.tags["dagster_run_id"] == "run-of-dagster"
    assert tracked.data.params["optim.lr"] == str(RECIPES["clip_tiny"]().optim.lr)
    assert {"loss", "lr", "samples_per_s", "data_wait_share", "rss_mb", "cpu_percent"} <= set(tracked.data.metrics)


@pytest.mark.slow
def test_a_second_start_goes_on_with_the_same_tracked_run(shapes: Store) -> None:
    seen: list[str] = []
    card = RunCard(name="prior/first", params={"lr": "1"}, tags={"stage": "prior"})
    first = Tracker(shapes, card, seen.append)
    first.points([("loss", 1.0, 1, 1)])
    first.finish("KILLED")
    second = Tracker(shapes, RunCard(name="prior/first", params={}, tags={}, run_id=seen[0]), seen.append)
    second.points([("loss", 0.5, 2, 2)])
    second.finish()
    history = open_client(shapes).get_metric_history(seen[0], "loss")
    assert seen[0] == seen[1] and [point.value for point in history] == [1.0, 0.5]


def test_a_tracking_database_that_cannot_be_opened_is_said_and_survived(shapes: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shapes.write_bytes("mlflow", b"a file where a folder should be")
    tracker = Tracker(shapes, RunCard(name="prior/first", params={}, tags={}), lambda run_id: None)
    tracker.points([("loss", 1.0, 1, 1)])
    assert tracker.finish() is None
    assert "training goes on, its curves are in metrics.json" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_in_step(shapes: Store, tmp_path: Path) -> None:
    done = launch(tmp_path, *options(shapes, steps="3", processes="2"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(shapes.read_bytes("models/clip/first/manifest.json"))["counts"]["steps"] == 3

"""These tests measure the loss on pairs that nothing learns from, and look that the training does not notice."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store
from unclip_training.config import AnyRun
from unclip_training.data.pair_source import pairs_source, validation_source
from unclip_training.fit import Launch, fit
from unclip_training.validation import NAME


def go(store: Store, run: AnyRun, name: str = "first", dataset: str = "v-shapes") -> Path:
    """The folder of the finished training; prior and decoder are conditioned on the CLIP called `first`."""
    fit(store, run, Launch(dataset=dataset, name=name, clip="models/clip/first" if run.needs_clip else None, track=False))
    return store.path(f"models/{run.stage}/{name}")


def curve(folder: Path) -> dict[int, float]:
    """The validation loss by step."""
    return {step: value for name, value, _, step in json.loads((folder / "metrics.json").read_text())["points"] if name == NAME}


def test_every_stage_measures_its_loss_on_pairs_that_nothing_learns_from(validated: Store, small_runs: dict[str, AnyRun]) -> None:
    for run in small_runs.values():
        folder = go(validated, replace(run, validate_every=3))
        metrics, measured = json.loads((folder / "metrics.json").read_text()), curve(folder)
        counts = json.loads((folder / "manifest.json").read_text())["counts"]
        assert list(measured) == [0, 3, 6], run.stage
        assert counts[NAME] == metrics["final"][NAME] == measured[6]
        assert counts["best_validation_loss"] == metrics["best_validation_loss"] == min(measured.values())
        assert counts["best_step"] == metrics["best_step"] and measured[metrics["best_step"]] == metrics["best_validation_loss"]
        with Image.open(folder / "curves.png") as picture:
            assert picture.size == (720, 360)


@pytest.mark.parametrize("stage", ["clip", "upsampler_256"])
def test_a_training_ends_with_the_same_weights_whether_it_is_validated_or_not(
    validated: Store, small_runs: dict[str, AnyRun], stage: str
) -> None:
    often, never = (go(validated, replace(small_runs[stage], validate_every=every, validation_pairs=6), str(every)) for every in (1, 1000))
    first, second = (load_file(folder / "weights.safetensors") for folder in (often, never))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert curve(often)[6] == curve(never)[6], "and the loss at a step does not depend on what was measured before"


def test_without_a_validation_split_nothing_is_measured_and_that_is_said(
    shapes: Store, small_runs: dict[str, AnyRun], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = go(shapes, small_runs["upsampler_256"])
    assert curve(folder) == {} and (folder / "curves.png").exists()
    assert capsys.readouterr().out.count("upsampler_256: v-shapes has no validation split, so no validation loss is measured") == 1


def test_the_best_weights_are_kept_only_where_the_recipe_says_so(validated: Store, small_runs: dict[str, AnyRun]) -> None:
    run = small_runs["upsampler_256"]
    hot = replace(run, optim=replace(run.optim, lr=0.5, warmup=0, ema_decay=0.0), validate_every=1)  # so hot that it only gets worse
    last, best = go(validated, hot, "last"), go(validated, replace(hot, keep_best=True), "best")
    assert curve(last) == curve(best) and min(curve(best), key=curve(best).__getitem__) == 0
    weights = [load_file(folder / "weights.safetensors") for folder in (last, best)]
    assert not all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    cold = load_file(go(validated, replace(hot, optim=replace(hot.optim, lr=1e-12)), "cold") / "weights.safetensors")
    assert all(torch.allclose(weights[1][name], cold[name], atol=1e-6) for name in cold)
    assert not (best / "best.safetensors").exists()


def test_clip_is_validated_on_safe_pairs_that_it_does_not_learn_from(crawled: Store, small_runs: dict[str, AnyRun]) -> None:
    everything = sorted(pairs_source(crawled, "safe").keys or [])
    assert validation_source(crawled, "safe") is None
    write_parquet(crawled, "verdicts/held_out.parquet", pa.table({"key": everything[:2]}))
    write_parquet(crawled, "verdicts/validation.parquet", pa.table({"key": [*everything[1:6], "of-no-safe-pair"]}))
    source, validation = pairs_source(crawled, "safe"), validation_source(crawled, "safe")
    assert validation is not None and validation.keys == frozenset(everything[2:6])
    assert source.keys == frozenset(everything[6:])
    assert set(curve(go(crawled, small_runs["clip"], dataset="safe"))) >= {0, 6}


def test_validation_costs_little_of_a_training(small_runs: dict[str, AnyRun]) -> None:
    run = replace(small_runs["upsampler_256"], steps=1000, batch_size=16)
    forward_passes = (1 + run.steps // run.validation_interval) * run.num_validated
    assert forward_passes < 0.03 * 3 * run.steps * run.batch_size
    assert replace(run, batch_size=512).num_validated == 256
    with pytest.raises(ValueError, match="validate_every and validation_pairs must be at least 1"):
        replace(run, validate_every=0)

"""These tests begin trainings with the weights of earlier ones, and with what does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest
from unclip_pairs.store import Store
from unclip_training.beginning import find_beginning
from unclip_training.config import AnyRun
from unclip_training.fit import Launch, fit

BUNDLE = {"format": 1, "tokenizer": "tokenizer.json", "clip": "clip.safetensors", "prior": "prior.safetensors"}


def go(store: Store, run: AnyRun, name: str = "first", dataset: str = "v-shapes", begin_from: str | None = None) -> Path:
    """The folder of the finished training; prior and decoder are conditioned on the CLIP called `first`."""
    clip = "models/clip/first" if run.needs_clip else None
    fit(store, run, Launch(dataset=dataset, name=name, clip=clip, begin_from=begin_from, track=False))
    return store.path(f"models/{run.stage}/{name}")


def bundle(store: Store) -> str:
    """A bundle of the CLIP and the prior called `first`, and of a decoder that is not there."""
    folder = store.path("bundles/one")
    folder.mkdir(parents=True)
    for stage in ("clip", "prior"):
        shutil.copy(store.path(f"models/{stage}/first/weights.safetensors"), folder / f"{stage}.safetensors")
    shutil.copy(store.path("models/clip/first/tokenizer.json"), folder)
    shutil.copy(folder / "prior.safetensors", folder / "upsampler_1.safetensors")
    upsamplers = {"decoder": "decoder.safetensors", "upsamplers": ["upsampler_1.safetensors"]}
    (folder / "bundle.json").write_text(json.dumps(BUNDLE | upsamplers))
    return "bundles/one"


def validation_loss(folder: Path) -> float:
    return json.loads((folder / "metrics.json").read_text())["final"]["validation_loss"]


def test_new_pairs_are_learned_faster_from_weights_than_from_nothing(two_versions: Store, small_runs: dict[str, AnyRun]) -> None:
    run = replace(small_runs["upsampler_256"], optim=replace(small_runs["upsampler_256"].optim, lr=3e-3))
    parent = go(two_versions, replace(run, steps=60))
    tuned = go(two_versions, run, "tuned", "v-new", begin_from="models/upsampler_256/first")
    fresh = go(two_versions, run, "fresh", "v-new")
    assert validation_loss(tuned) < validation_loss(fresh)
    inputs = json.loads((tuned / "manifest.json").read_text())["inputs"]
    assert inputs["from"] == file_digest(parent / "weights.safetensors") and "dataset" in inputs
    with pytest.raises(UserError, match="from other data or settings; choose another --run name"):
        go(two_versions, run, "tuned", "v-new")


def test_clip_and_judge_keep_their_words_and_the_prior_its_statistics(two_versions: Store, small_runs: dict[str, AnyRun]) -> None:
    for stage, file in (("clip", "tokenizer.json"), ("judge", "tokenizer.json"), ("prior", "weights.safetensors")):
        run = replace(small_runs[stage], steps=2)
        parent = go(two_versions, run)
        tuned = go(two_versions, run, "tuned", "v-new", begin_from=f"models/{stage}/first")
        if stage == "prior":
            ours, theirs = (load_file(folder / file) for folder in (tuned, parent))
            assert torch.equal(ours["stats.mean_D"], theirs["stats.mean_D"]), "not those of the new pairs"
        else:
            assert (tuned / file).read_bytes() == (parent / file).read_bytes()


def test_a_stage_begins_with_its_part_of_a_bundle(two_versions: Store, small_runs: dict[str, AnyRun]) -> None:
    clip, prior = go(two_versions, small_runs["clip"]), go(two_versions, small_runs["prior"])
    named = bundle(two_versions)
    found = find_beginning(two_versions, named, "prior")
    assert found.digest == file_digest(prior / "weights.safetensors") and found.clip == file_digest(clip / "weights.safetensors")
    assert find_beginning(two_versions, named, "upsampler_256").clip == found.clip, "it may be told the embedding too"
    assert find_beginning(two_versions, str(two_versions.path(named)), "clip").tokenizer == two_versions.path(f"{named}/tokenizer.json")
    go(two_versions, replace(small_runs["prior"], steps=2), "tuned", "v-new", begin_from=named)
    for stage, sentence in (("decoder", "'decoder.safetensors' is not in its folder"), ("judge", "holds no judge")):
        with pytest.raises(UserError, match=sentence):
            find_beginning(two_versions, named, stage)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="names no upsampler_1024"):
        find_beginning(two_versions, named, "upsampler_1024")


def test_weights_that_do_not_fit_are_refused_in_a_sentence(two_versions: Store, small_runs: dict[str, AnyRun]) -> None:
    clip, prior = small_runs["clip"], small_runs["prior"]
    for run in (clip, prior):
        go(two_versions, run)
    with pytest.raises(UserError, match="holds the weights of the stage prior, but the recipe trains the stage clip"):
        go(two_versions, clip, "tuned", begin_from="models/prior/first")
    wider = replace(prior, model=replace(prior.model, tower=replace(prior.model.tower, depth=2)))  # type: ignore[union-attr, call-arg]
    with pytest.raises(UserError, match=r"was trained with tower\.depth 1, but the recipe has 2; use the recipe"):
        go(two_versions, wider, "tuned", begin_from="models/prior/first")
    go(two_versions, replace(clip, seed=1), "other")
    with pytest.raises(UserError, match=r"was conditioned on the CLIP \w{12}, but --clip 'models/clip/other' is \w{12}"):
        launch = Launch(dataset="v-new", name="tuned", clip="models/clip/other", begin_from="models/prior/first", track=False)
        fit(two_versions, prior, launch)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds neither weights.safetensors nor bundle.json"),
        ({"last.ckpt": ""}, "holds last.ckpt, which may be a pickle and is never read"),
        ({"weights.safetensors": ""}, "no readable manifest.json; name a run that is finished"),
        ({"weights.safetensors": "", "manifest.json": "[]"}, "a manifest.json that is no object"),
        ({"bundle.json": "{}"}, "a bundle that names no prior"),
        ({"bundle.json": '{"prior": "../prior.safetensors", "clip": "c"}'}, "is not in its folder"),
    ],
)
def test_a_folder_without_whole_weights_is_refused(shapes: Store, files: dict[str, str], sentence: str) -> None:
    folder = shapes.path("models/prior/broken")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        find_beginning(shapes, "models/prior/broken", "prior")


@pytest.mark.parametrize("named", ["models/prior/none", "../elsewhere", "weights.pt"])
def test_a_missing_folder_and_a_pickle_are_refused(shapes: Store, named: str) -> None:
    with pytest.raises(UserError, match="may be a pickle" if named.endswith(".pt") else "is no folder in .* or on this machine"):
        find_beginning(shapes, named, "prior")

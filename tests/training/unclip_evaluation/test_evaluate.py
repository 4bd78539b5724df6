"""These tests train a whole cascade for a few steps, and evaluate it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unclip_evaluation.evaluate import evaluate
from unclip_evaluation.figures import Evaluation, HitFigures
from unclip_evaluation.painting import EvaluationPainter
from unclip_evaluation.plan import EvaluationPlan
from unclip_evaluation.probes.probes import ProbePlan
from unclip_models.config import CompactDecoderConfig, CompactUpsamplerConfig, TowerConfig, UNetConfig
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store
from unclip_training.config import AnyRun, UpsamplerRun
from unclip_training.fit import Launch, fit
from unclip_training.recipes import tiny

PLAN = EvaluationPlan(
    judge="models/judge/first",
    num_prompts=5,
    num_composed=2,
    num_diverse=1,
    sheet_cards=3,
    sweep_prompts=2,
    sweep_scales=(1.0, 2.0),
    probes=ProbePlan(num_pictures=10, augmentations=1),
)
PICTURES = ("contact_sheet.png", "real_and_painted.png", "guidance_sweep.png", "closest.png")
TOWER = TowerConfig(width=16, depth=1, heads=2)
FILES = {"clip": "clip", "prior": "prior", "decoder": "decoder", "upsampler_256": "upsampler_1", "upsampler_1024": "upsampler_2"}


def small_upsampler(run: UpsamplerRun) -> UpsamplerRun:
    assert isinstance(run.model, CompactUpsamplerConfig)
    model = replace(run.model, unet=replace(run.model.unet, channels=8, multipliers=(1,), num_groups=4), embed_dim=16)
    return replace(run, model=model, diffusion=replace(run.diffusion, steps=(2,)))


def small_runs() -> list[AnyRun]:
    clip, judge, prior, decoder = tiny.clip_tiny(), tiny.judge_tiny(), tiny.prior_tiny(), tiny.decoder_tiny()
    assert isinstance(decoder.model, CompactDecoderConfig)
    unet = UNetConfig(side=8, channels=16, multipliers=(1,), num_blocks=1, attention_sides=(8,), head_channels=8, num_groups=4)
    small = replace(clip.model, image_size=32, patch_size=16, locked=False, word_width=0)
    return [
        replace(clip, model=replace(small, vision=TOWER, text=TOWER, embed_dim=16, vocab_size=300, context=12), side=32),
        replace(judge, model=replace(judge.model, width=16, depth=1, heads=2, dim=16, vocab=300, context=12)),
        replace(prior, model=replace(prior.model, embed_dim=16, text_width=16, context=12, tower=TOWER)),
        replace(decoder, model=replace(decoder.model, unet=unet, embed_dim=16, text_width=16)),
        small_upsampler(tiny.upsampler_256_tiny()),
        small_upsampler(tiny.upsampler_1024_tiny()),
    ]


@pytest.fixture
def bundle(shapes: Store) -> Path:
    """A bundle of networks that have learnt next to nothing."""
    for run in small_runs():
        clip = "models/clip/first" if run.needs_clip else None
        launch = Launch(dataset="v-shapes", name="first", clip=clip, track=False)
        fit(shapes, replace(run, steps=3, batch_size=4), launch)
    folder = shapes.path("bundles/small")
    folder.mkdir(parents=True)
    for stage, file in FILES.items():
        shutil.copy(shapes.path(f"models/{stage}/first/weights.safetensors"), folder / f"{file}.safetensors")
    shutil.copy(shapes.path("models/clip/first/tokenizer.json"), folder)
    names = {stage: f"{stage}.safetensors" for stage in ("clip", "prior", "decoder")}
    upsamplers = ["upsampler_1.safetensors", "upsampler_2.safetensors"]
    (folder / "bundle.json").write_text(json.dumps({"format": 1, "tokenizer": "tokenizer.json", **names, "upsamplers": upsamplers}))
    return folder


@pytest.mark.slow
def test_an_evaluation_gives_every_figure_and_picture_and_is_not_done_twice(
    shapes: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    figures = evaluate(shapes, bundle, "v-shapes", PLAN, progress=lambda done, total=None, message="": heard.append(message))
    folder = next(shapes.path("evaluation").iterdir())
    assert set(figures) == {*Evaluation.__annotations__, *HitFigures.__annotations__} and figures["num_held_out"] == 1
    assert set(figures["sets"]) == {"training", "held_out"}
    assert figures["missing_sets"]["own_words"] == "the dataset version has no prompts.json"
    training = figures["sets"]["training"]["concept_at_1"]
    assert training["painted"]["of"] == training["floor"]["of"] == training["copying"]["of"] == 5
    assert training["real"]["of"] == 0 and figures["sets"]["held_out"]["style"]["real"]["of"] == 1
    assert figures["probes"]["split"] == "held_out" and figures["checkers"] == {}
    assert {*PICTURES, "evaluation.json", "manifest.json"} <= {p.name for p in folder.iterdir()}
    painted = np.load(folder / "painted.npy", allow_pickle=False)
    assert painted.shape == (5 + 1 + 4, 128, 128, 3) and {"painting training", "judging held_out"} <= set(heard)
    monkeypatch.setattr(EvaluationPainter, "painted", lambda *_: pytest.fail("painted twice"))
    assert evaluate(shapes, bundle, "v-shapes", PLAN) == figures


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_with_the_same_pictures(shapes: Store, bundle: Path) -> None:
    class Killed(Exception): ...

    def kill(done: int, total: int | None = None, message: str = "") -> None:
        if message == "painting held_out":
            raise Killed

    with pytest.raises(Killed):
        evaluate(shapes, bundle, "v-shapes", PLAN, out="evaluation/first", progress=kill)
    assert not shapes.exists("evaluation/first/evaluation.json")
    kept = {name: shapes.path(name).stat().st_mtime_ns for name in shapes.names("evaluation/first/") if "painted/training" in name}
    first = evaluate(shapes, bundle, "v-shapes", PLAN, out="evaluation/first")
    assert kept and all(shapes.path(name).stat().st_mtime_ns == at for name, at in kept.items())
    assert evaluate(shapes, bundle, "v-shapes", PLAN, out="evaluation/second") == first


@pytest.mark.slow
def test_prompts_of_one_s_own_take_the_place_of_the_version_s(shapes: Store, bundle: Path, tmp_path: Path) -> None:
    entry = {"prompt": "something round and red", "concept": "circle", "style": "red", "scene": None, "seen": True}
    (tmp_path / "mine.json").write_text(json.dumps({"format": 1, "sets": {"own_words": [entry, entry | {"style": "blue"}]}}))
    figures = evaluate(shapes, bundle, "v-shapes", replace(PLAN, prompts=tmp_path / "mine.json"))
    assert figures["sets"]["own_words"]["num_prompts"] == 2 and figures["missing_sets"]["scenes"] == "the prompts have none"
    assert figures["diversity"]["num_prompts"] == 1 and figures["diversity"]["concept_at_1"]["of"] == 4


@pytest.mark.slow
def test_a_missing_judge_is_named(shapes: Store, bundle: Path) -> None:
    with pytest.raises(UserError, match="run recipe judge_tiny first"):
        evaluate(shapes, bundle, "v-shapes", replace(PLAN, judge="models/judge/none"))

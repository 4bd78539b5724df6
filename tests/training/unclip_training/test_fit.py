"""These tests train every stage for a few steps, stop some of them in the middle, and break what can be broken."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from unclip_diffusion.config import Diffusion
from unclip_models.checkpoint import read_extra
from unclip_models.config import CompactDecoderConfig, CompactUpsamplerConfig, TowerConfig, UNetConfig
from unclip_models.efficientnet import LockedTower
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import read_manifest
from unclip_pairs.store import Store
from unclip_training.checkpoints import Checkpoints
from unclip_training.config import AnyRun, ClipRun, DecoderRun, JudgeRun, PriorRun, UpsamplerRun
from unclip_training.embedder import ClipEmbedder
from unclip_training.fit import Launch, fit, flat, plan
from unclip_training.judging.judge import load_judge, scores
from unclip_training.pretrained import picture_weights
from unclip_training.recipes import tiny
from unclip_training.stages.base import LossGuard, Stage

TOWER = TowerConfig(width=16, depth=1, heads=2)
DIM = 16


def clip_run() -> ClipRun:
    run = tiny.clip_tiny()
    model = replace(run.model, image_size=32, patch_size=32, vision=TOWER, text=TOWER, embed_dim=DIM, vocab_size=300, context=12)
    model = replace(model, locked=False, word_width=0, residual_blocks=(1, 1, 1, 1))
    return replace(run, model=model, side=32, steps=12, batch_size=8)


def locked_clip_run() -> ClipRun:
    run = tiny.clip_tiny()
    return replace(
        run,
        model=replace(run.model, text=replace(run.model.text, width=16, depth=1, heads=2), embed_dim=DIM, context=12),
        steps=12,
        batch_size=8,
    )


def judge_run() -> JudgeRun:
    run = tiny.judge_tiny()
    return replace(run, model=replace(run.model, width=16, depth=1, heads=2, dim=16, vocab=300, context=12), steps=12, batch_size=8)


def prior_run(steps: int = 20) -> PriorRun:
    run = tiny.prior_tiny()
    model = replace(run.model, embed_dim=DIM, text_width=16, context=12, tower=TOWER)
    return replace(
        run, model=model, steps=steps, batch_size=8, optim=replace(run.optim, warmup=2), diffusion=replace(run.diffusion, steps=(3,))
    )


def decoder_run() -> DecoderRun:
    run = tiny.decoder_tiny()
    unet = UNetConfig(side=8, channels=16, multipliers=(1,), num_blocks=1, attention_sides=(8,), head_channels=8, num_groups=4)
    assert isinstance(run.model, CompactDecoderConfig)
    model = replace(run.model, unet=unet, embed_dim=DIM, text_width=16)
    return replace(run, model=model, steps=6, batch_size=4, diffusion=replace(run.diffusion, steps=(2,)))


def upsampler_run(recipe: str) -> UpsamplerRun:
    run = tiny.upsampler_256_tiny() if recipe == "upsampler_256" else tiny.upsampler_1024_tiny()
    assert isinstance(run.model, CompactUpsamplerConfig)
    unet = replace(run.model.unet, channels=8, multipliers=(1,), num_groups=4)
    return replace(
        run, model=replace(run.model, unet=unet, embed_dim=DIM), steps=4, batch_size=4, diffusion=replace(run.diffusion, steps=(2,))
    )


def go(store: Store, run: AnyRun, *, dataset: str = "v-shapes", name: str = "first", clip: str | None = None) -> Path:
    """The folder of the finished training."""
    fit(store, run, Launch(dataset=dataset, name=name, clip=clip, track=False))
    return store.path(f"models/{run.stage}/{name}")


@pytest.fixture
def clip(shapes: Store) -> str:
    go(shapes, clip_run())
    return "models/clip/first"


def test_clip_learns_its_own_words_and_becomes_an_embedder(shapes: Store) -> None:
    folder = go(shapes, clip_run())
    curve = [p for p in json.loads((folder / "metrics.json").read_text())["points"] if p[0] == "loss"]
    assert all(np.isfinite(point[1]) for point in curve)
    embedder = ClipEmbedder(folder)
    pictures = embedder.pictures(np.zeros((3, 256, 256, 3), np.uint8))
    captions = embedder.captions(["a red circle", "a blue bar"])
    assert pictures.shape == (3, DIM) and captions.shape == (2, DIM) and pictures.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(captions, axis=1), 1, atol=1e-5)
    assert embedder.dim == DIM and len(embedder.digest) == 64


def test_a_locked_tower_stays_as_it_is_and_its_text_tower_learns(shapes: Store) -> None:
    folder = go(shapes, locked_clip_run())
    embedder = ClipEmbedder(folder)
    tower = embedder.network.network.visual
    assert isinstance(tower, LockedTower)
    published = picture_weights()
    assert all(torch.equal(value, published[name]) for name, value in tower.features.state_dict().items())
    bars = np.full((2, 128, 128, 3), 255, np.uint8)
    bars[0, 40:80, 10:118], bars[1, 10:118, 40:80] = (220, 30, 30), (30, 60, 220)
    found = embedder.pictures(bars)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert float(found[0] @ found[1]) < 0.99, "colour and place are told"
    losses = [p[1] for p in json.loads((folder / "metrics.json").read_text())["points"] if p[0] == "loss"]
    assert losses[-1] < losses[0]


def test_clip_learns_from_the_safe_pairs_of_a_crawl(crawled: Store) -> None:
    fit(crawled, clip_run(), Launch(dataset="safe", name="first", track=False))
    manifest = json.loads(crawled.read_bytes("models/clip/first/manifest.json"))
    assert manifest["counts"]["pairs"] == 30
    verdicts = read_manifest(crawled, "verdicts/safety.json")
    assert verdicts is not None and manifest["inputs"]["verdicts"] == verdicts.digest, "lineage walks on from here"


def test_the_judge_scores_a_right_caption_above_a_wrong_one(shapes: Store) -> None:
    folder = go(shapes, replace(judge_run(), steps=60, optim=replace(judge_run().optim, lr=5e-3)))
    judge, tokenizer = load_judge(folder)
    image = Image.new("RGB", (128, 128), "white")
    image.paste((220, 30, 30), (8, 48, 121, 81))
    pictures = np.stack([np.asarray(image)] * 2)
    right, wrong = scores(judge, tokenizer, pictures, ["a red bar", "a blue circle"])
    assert right > wrong


def test_every_conditioned_stage_trains_and_leaves_whole_files(shapes: Store, clip: str) -> None:
    for run in (prior_run(), decoder_run(), upsampler_run("upsampler_256"), upsampler_run("upsampler_1024")):
        folder = go(shapes, run, clip=clip)
        names = {path.name for path in folder.iterdir()}
        assert {"weights.safetensors", "metrics.json", "manifest.json", "last.ckpt"} <= names
        assert not [name for name in names if name.startswith(".part")]
        if not isinstance(run, PriorRun):
            assert next((folder / "samples").iterdir()).read_bytes().startswith(b"\x89PNG")


def test_the_prior_overfits_a_few_pairs_and_its_loss_falls(shapes: Store, clip: str) -> None:
    run = replace(prior_run(150), optim=replace(prior_run().optim, lr=1e-2), batch_size=16)
    points = json.loads((go(shapes, run, clip=clip) / "metrics.json").read_text())["points"]
    losses = [value for name, value, _, _ in points if name == "loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_an_analytic_prior_carries_its_noise_power(shapes: Store, clip: str) -> None:
    diffusion = replace(prior_run().diffusion, sampler="ddpm", steps=(4,))
    folder = go(shapes, replace(prior_run(4), diffusion=diffusion, analytic=True), clip=clip)
    saved = Diffusion.from_json(read_extra(folder / "weights.safetensors")["diffusion"])
    assert saved.sampler == "analytic" and len(saved.noise_power) == 4


def test_a_finished_training_returns_at_once_and_another_one_may_not_take_its_name(shapes: Store, clip: str) -> None:
    folder = go(shapes, prior_run(3), clip=clip)
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    go(shapes, prior_run(3), clip=clip)
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="choose another --run name"):
        go(shapes, prior_run(4), clip=clip)


class Killed(Exception):
    """Stands for a kill between two steps."""


def stopped_at(store: Store, run: AnyRun, clip: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains until `step`, saves as a timed checkpoint would, and dies."""
    original = Checkpoints.on_train_batch_end

    def dying(self: Checkpoints, trainer, *rest) -> None:  # type: ignore[no-untyped-def]
        if trainer.global_step == step:
            self.save(trainer)
            raise Killed
        original(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", dying)
        with pytest.raises(Killed):
            go(store, run, name="resumed", clip=clip)


def test_a_resumed_training_ends_with_the_very_weights_of_an_uninterrupted_one(
    shapes: Store, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prior_run(14)
    whole = go(shapes, run, clip=clip)
    stopped_at(shapes, run, clip, 9, monkeypatch)
    assert not shapes.exists("models/prior/resumed/manifest.json")
    resumed = go(shapes, run, name="resumed", clip=clip)
    first, second = (load_file(folder / "weights.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [json.loads((folder / "metrics.json").read_text())["final"]["loss"] for folder in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1])


def test_a_damaged_checkpoint_is_one_sentence_and_is_kept(shapes: Store, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_at(shapes, prior_run(), clip, 3, monkeypatch)
    path = shapes.path("models/prior/resumed/last.ckpt")
    damaged = path.read_bytes()[:2000]
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged .* move it aside"):
        go(shapes, prior_run(), name="resumed", clip=clip)
    assert path.read_bytes() == damaged


def test_a_checkpoint_of_other_work_is_refused(shapes: Store, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_at(shapes, prior_run(), clip, 3, monkeypatch)
    with pytest.raises(UserError, match="other data or settings"):
        go(shapes, replace(prior_run(), seed=1), name="resumed", clip=clip)


def test_a_checkpoint_holds_nothing_that_needs_unpickling(shapes: Store, clip: str) -> None:
    folder = go(shapes, prior_run(3), clip=clip)
    content = torch.load(folder / "last.ckpt", weights_only=True)
    assert content["ema"]["updates"] == 3 and content["global_step"] == 3


def test_the_saved_weights_are_the_averaged_ones(shapes: Store, clip: str) -> None:
    folder = go(shapes, prior_run(6), clip=clip)
    content, saved = torch.load(folder / "last.ckpt", weights_only=True), load_file(folder / "weights.safetensors")
    names = [name for name in content["state_dict"] if not name.endswith(("mean_D", "std_D"))]
    learnt = torch.cat([content["state_dict"][name].flatten() for name in names if name.removeprefix("network.") in saved])
    averaged = torch.cat([saved[name.removeprefix("network.")].flatten() for name in names if name.removeprefix("network.") in saved])
    assert not torch.equal(learnt, averaged)


def test_a_loss_that_is_not_finite_ends_the_training_with_a_sentence(shapes: Store, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "loss", lambda self, batch: torch.tensor(float("nan"), requires_grad=True))
    monkeypatch.setattr("unclip_training.stages.prior.PriorStage.loss", Stage.loss)
    with pytest.raises(UserError, match=r"prior diverged at step 0: the loss is nan; lower lr"):
        go(shapes, prior_run(), clip=clip)


def test_the_guard_forgives_one_spike_and_not_many() -> None:
    guard = LossGuard()
    assert all(guard.check(1.0, step) is None for step in range(200))
    assert guard.check(50.0, 200) is None and guard.check(1.0, 201) is None
    answers = [guard.check(50.0, 202 + i) for i in range(30)]
    assert answers[0] is None and any(answers)


@pytest.mark.parametrize(
    ("launch", "sentence"),
    [
        (Launch(dataset="v-none", name="first"), "dataset 'v-none' is not published .* v-shapes"),
        (Launch(dataset="safe", name="first"), "safety verdicts are missing"),
        (Launch(dataset="v-shapes", name="../first"), "must be a plain name"),
        (Launch(dataset="v-shapes", name="first", steps=0), "steps is 0"),
        (Launch(dataset="v-shapes", name="first", clip="models/clip/none"), "holds no weights.safetensors"),
    ],
)
def test_what_a_user_can_put_right_is_said_in_a_sentence(shapes: Store, launch: Launch, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan(shapes, prior_run(), launch)


def test_a_stage_that_needs_clip_says_so(shapes: Store) -> None:
    with pytest.raises(UserError, match="name its run folder with --clip"):
        go(shapes, prior_run())


def test_a_clip_of_another_size_is_refused(shapes: Store, clip: str) -> None:
    with pytest.raises(UserError, match="recipes of one size"):
        go(shapes, tiny.prior_tiny(), clip=clip)


def test_nested_settings_become_flat_params() -> None:
    assert flat({"lr": 1, "optim": {"betas": [0.9, 0.99]}}) == {"lr": "1", "optim.betas": "[0.9, 0.99]"}

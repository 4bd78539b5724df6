"""Checks of what only CUDA can break: resuming, where the average lies, the analytic prior, bf16, one seed giving one result."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from findings import CheckFailed, Findings
from lightning.pytorch import LightningModule, Trainer
from miniatures import checked_decoder, checked_prior, plain_clip
from pair_file import Pairs, publish
from PIL import Image
from safetensors.torch import load_file
from small_training import embedded
from torch import Tensor

from unclip_diffusion.config import Diffusion
from unclip_generation.pipeline import UnCLIP
from unclip_models.checkpoint import read_extra
from unclip_pairs.store import Store
from unclip_training.checkpoints import Checkpoints
from unclip_training.config import AnyRun
from unclip_training.fit import Launch, fit
from unclip_training.precision import training_device

STEPS, STOPPED_AT = 8, 5
SOME_PAIRS = 64
TOLERATED_BF16 = 0.05  # of the float32 loss
Weights = dict[str, Tensor]


class Killed(Exception):
    """Stands for a kill between two steps."""


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Within the block, every training saves at `step`, as a timed checkpoint would, and dies."""
    original = Checkpoints.on_train_batch_end

    def dying(self: Checkpoints, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int) -> None:
        if trainer.global_step == step:
            self.save(trainer)
            raise Killed
        original(self, trainer, pl_module, outputs, batch, batch_idx)

    Checkpoints.on_train_batch_end = dying
    try:
        yield
    except Killed:
        pass
    finally:
        Checkpoints.on_train_batch_end = original


@dataclass(frozen=True)
class Checks:
    """The checks on some pairs in a store of their own; each raises `CheckFailed` with what is wrong."""

    store: Store
    findings: Findings

    def run(self, pairs: Pairs) -> None:
        """All of them, each as a part of the findings; none without the preparation."""
        with self.findings.part("check_preparation"):
            self.prepare(pairs)
        if "check_preparation" in self.findings.failures():
            return
        checks: dict[str, Callable[[], None]] = {
            "check_seed": self.seed,
            "check_resume": self.resume,
            "check_average": self.average,
            "check_analytic": self.analytic,
            "check_bf16": self.bf16,
        }
        for name, check in checks.items():
            with self.findings.part(name):
                check()

    def prepare(self, pairs: Pairs) -> None:
        """A CLIP that has learned next to nothing, and some pairs with its embeddings."""
        chosen = [i for i, row in enumerate(pairs.rows) if row["split"] == "train"][:SOME_PAIRS]
        some = Pairs([pairs.rows[i] for i in chosen], [pairs.pictures[i] for i in chosen], {})
        publish(some, self.store, "plain")
        fit(self.store, plain_clip(), Launch(dataset="plain", name="check", track=False))
        publish(some, self.store, "embedded", embedded(self.store, "plain", "models/clip/check"))

    def train(self, run: AnyRun, name: str) -> Path:
        """The folder of a training on the embedded pairs."""
        fit(self.store, run, Launch(dataset="embedded", name=name, clip="models/clip/check", track=False))
        return self.store.path(f"models/{run.stage}/{name}")

    def seed(self) -> None:
        """The same seed twice gives the same weights."""
        first, second = (load_file(self.train(checked_decoder(STEPS), name) / "weights.safetensors") for name in ("first", "second"))
        difference = largest_difference(first, second)
        self.findings.put("check_seed", largest_difference=difference)
        if difference > 0:
            raise CheckFailed(f"two trainings of one seed differ by {difference:.3g}")

    def resume(self) -> None:
        """Killed and resumed gives the weights of the uninterrupted training, as nearly as two of those agree."""
        with killed_at(STOPPED_AT):
            self.train(checked_decoder(STEPS), "resumed")
        resumed = load_file(self.train(checked_decoder(STEPS), "resumed") / "weights.safetensors")
        first, second = (load_file(self.train(checked_decoder(STEPS), name) / "weights.safetensors") for name in ("first", "second"))
        difference, noise = largest_difference(first, resumed), largest_difference(first, second)
        self.findings.put("check_resume", largest_difference=difference, of_two_uninterrupted=noise)
        if difference > 4 * noise:
            raise CheckFailed(f"resumed weights differ by {difference:.3g}, those of two uninterrupted trainings by {noise:.3g}")

    def average(self) -> None:
        """The average in a resumed training's checkpoint lies where the weights lie."""
        content = torch.load(self.store.path("models/decoder/resumed/last.ckpt"), weights_only=True)
        found = {value.device.type for value in content["ema"]["values"]}
        self.findings.put("check_average", devices=sorted(found))
        if found != {training_device().type}:
            raise CheckFailed(f"the average lies on {sorted(found)}, the training on {training_device()}")

    def analytic(self) -> None:
        """A finished analytic prior carries one finite noise power for each step."""
        run = checked_prior(STEPS)
        run = replace(run, analytic=True, diffusion=replace(run.diffusion, sampler="ddpm", steps=(4,)))
        saved = Diffusion.from_json(read_extra(self.train(run, "analytic") / "weights.safetensors")["diffusion"])
        self.findings.put("check_analytic", noise_power=list(saved.noise_power))
        if saved.sampler != "analytic" or len(saved.noise_power) != 4 or not all(map(math.isfinite, saved.noise_power)):
            raise CheckFailed(f"the finished prior has the sampler {saved.sampler} with noise powers {saved.noise_power}")

    def bf16(self) -> None:
        """Trained in bf16, the loss is that of float32 but for rounding."""
        losses: list[float] = []
        for precision in ("float32", "bf16"):
            self.train(replace(checked_decoder(4 * STEPS), precision=precision), precision)
            losses.append(float(self.store.read_json(f"models/decoder/{precision}/metrics.json")["final"]["loss"]))
        self.findings.put("check_bf16", float32=losses[0], bf16=losses[1])
        if not abs(losses[1] - losses[0]) <= TOLERATED_BF16 * abs(losses[0]):
            raise CheckFailed(f"the loss is {losses[1]:.4g} in bf16 and {losses[0]:.4g} in float32")


def largest_difference(first: Weights, second: Weights) -> float:
    """The largest absolute difference of two networks' weights."""
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first if first[name].numel())


def check_batch_and_alone(findings: Findings, painter: UnCLIP, prompts: Sequence[str], size: int) -> None:
    """One seed gives one picture, in a batch and alone; `CheckFailed` when a pixel differs by more than one level."""
    seeds = list(range(7, 7 + len(prompts)))
    together = painter.generate(prompts, seeds, size)
    alone = [painter.generate([prompt], [seed], size)[0] for prompt, seed in zip(prompts, seeds, strict=True)]
    apart = np.stack([_levels(a) - _levels(b) for a, b in zip(together, alone, strict=True)])
    largest, share = int(np.abs(apart).max()), float((apart != 0).mean())
    findings.put("check_batch_and_alone", largest_difference=largest, differing_share=share)
    if largest > 1:
        raise CheckFailed(f"a picture painted in a batch differs from the same painted alone by {largest} of 255")


def _levels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(image, dtype=np.int16)

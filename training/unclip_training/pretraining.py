"""What is learned first, alone, and then never again: the prior's guess and the compact decoder's sketch.

A perceptron sees hundreds of pairs in the time in which a transformer or a U-Net sees one. The network around it then only learns what it
leaves out; how much that is, is measured here, and sets the network's shares.
"""

# N pairs of the set, B batch, D embedding, K principal components

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from unclip_diffusion.preconditioning import shares_around
from unclip_diffusion.schedule import schedule_named
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.preconditioned import Shares
from unclip_models.prior import Prior
from unclip_models.text import Text
from unclip_training.config import AloneRun, DecoderRun, DiffusionRun, PriorRun
from unclip_training.optim import rate_at
from unclip_training.progress import Lines

MEASURED = 512  # pairs on which the remaining error is taken


@dataclass(frozen=True)
class Known:
    """What is learned from: image and text embeddings [N, D] and, for the sketch, pictures in [-1, 1] [N, 3, S, S]."""

    clip_image: Tensor
    clip_text: Tensor
    pictures: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clip_image)


@dataclass(frozen=True)
class Task:
    """Layers, how they are learned, and how one batch of pairs becomes what they give and what they should give, of deviation one."""

    name: str
    layers: nn.Module
    how: AloneRun
    said_and_wanted: Callable[[Tensor], tuple[Tensor, Tensor]]


def learn_guess(network: Prior, known: Known, run: PriorRun) -> None:
    """Trains the prior's guess, freezes it, and sets the prior's shares by the error that is left."""
    assert network.guess is not None and network.shares is not None and run.guessing is not None
    wanted_ND, noise = network.stats.standardise(known.clip_image), run.guessing.noise
    task = Task(
        "guess", network.guess, run.guessing, lambda pairs_B: (network.guessed(known.clip_text[pairs_B], noise), wanted_ND[pairs_B])
    )
    _learn(task, len(known), run)
    some_B = _some(len(known), run.seed)
    with torch.no_grad():
        _set_shares(network.shares, network.guessed(known.clip_text[some_B]) - wanted_ND[some_B], run)


def learn_sketch(network: CompactDecoder, known: Known, run: DecoderRun) -> None:
    """Fits the sketch's components, trains its layers, freezes them, and sets the decoder's shares by the error that is left."""
    sketch, pictures = network.sketch, known.pictures
    assert sketch is not None and pictures is not None and run.sketching is not None
    sketch.fit(pictures)
    wanted_NK = sketch.components(pictures)

    def said_and_wanted(pairs_B: Tensor) -> tuple[Tensor, Tensor]:
        return sketch.layers(_condition(network, known, pairs_B, run)), wanted_NK[pairs_B]

    _learn(Task("sketch", sketch.layers, run.sketching, said_and_wanted), len(known), run)
    some_B = _some(len(known), run.seed)
    with torch.no_grad():
        _set_shares(network.shares, sketch(_condition(network, known, some_B, run)) - pictures[some_B], run)


def _learn(task: Task, count: int, run: DiffusionRun) -> None:
    """AdamW on the mean squared error, as many steps as the task's ratio to the run's own says."""
    how, steps = task.how, max(1, round(task.how.ratio * run.steps))
    generator, lines = torch.Generator().manual_seed(run.seed), Lines(task.name, steps)
    optimizer = AdamW(task.layers.parameters(), lr=how.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = how.lr * rate_at(step, how.warmup, steps)
        said, wanted = task.said_and_wanted(torch.randint(count, (how.batch_size,), generator=generator))
        loss = nn.functional.mse_loss(said, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lines.at(step + 1, float(loss.detach()))
    task.layers.requires_grad_(False)


def _some(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:MEASURED]


def _set_shares(shares: Shares, error: Tensor, run: DiffusionRun) -> None:
    schedule, deviation = schedule_named(run.diffusion.schedule), float(error.square().mean().sqrt())
    shares.set(shares_around(run.diffusion.prediction, schedule, deviation, shares.times_K))


@torch.no_grad()
def _condition(network: CompactDecoder, known: Known, pairs_B: Tensor, run: DecoderRun) -> Tensor:
    """The condition of these pairs as the U-Net's training will give it: with noise, and now and then without one half."""
    z_BD = network.stats.standardise(known.clip_image[pairs_B])
    z_BD = z_BD + run.embedding_noise * torch.randn_like(z_BD)
    keep_image_B, keep_text_B = (torch.rand(len(pairs_B)) >= drop for drop in (run.drop_embedding, run.drop_text))
    z_BD = torch.where(keep_image_B[:, None], z_BD, network.null_image_D)
    nothing = torch.zeros(len(pairs_B), 0)
    return network.condition(z_BD, Text(nothing.long(), known.clip_text[pairs_B], nothing), keep_text_B)

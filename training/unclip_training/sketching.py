"""This file is how the compact decoder's sketch is learned: first, alone, and then never again.

A perceptron sees hundreds of pictures in the time in which a U-Net sees one; the U-Net then only learns what the sketch leaves out.
"""

# N pictures of the set, B batch, D embedding, K principal components

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from unclip_diffusion.preconditioning import shares_around
from unclip_diffusion.schedule import schedule_named
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.text import Text
from unclip_training.config import DecoderRun
from unclip_training.optim import rate_at
from unclip_training.progress import Lines

MEASURED = 512  # pictures on which the sketch's error is taken


@dataclass(frozen=True)
class Known:
    """What is sketched and what from: pictures in [-1, 1] [N, 3, S, S], image and text embeddings [N, D]."""

    pictures: Tensor
    clip_image: Tensor
    clip_text: Tensor


def learn_sketch(network: CompactDecoder, known: Known, run: DecoderRun) -> None:
    """Fits the sketch's components, trains its layers, freezes them, and sets the network's shares by the error that is left."""
    sketch, how = network.sketch, run.sketching
    assert sketch is not None and how is not None, "a decoder with a sketch needs to be told how to learn it"
    steps = max(1, round(how.ratio * run.steps))
    sketch.fit(known.pictures)
    wanted_NK = sketch.components(known.pictures)
    generator = torch.Generator().manual_seed(run.seed)
    optimizer = AdamW(sketch.layers.parameters(), lr=how.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    lines = Lines("sketch", steps)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = how.lr * rate_at(step, how.warmup, steps)
        chosen_B = torch.randint(len(wanted_NK), (how.batch_size,), generator=generator)
        loss = nn.functional.mse_loss(sketch.layers(_shaken(network, known, chosen_B, run)), wanted_NK[chosen_B])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lines.at(step + 1, float(loss.detach()))
    sketch.requires_grad_(False)
    set_shares(network, known, run)


@torch.no_grad()
def set_shares(network: CompactDecoder, known: Known, run: DecoderRun) -> None:
    """Measures how far the sketch is off on some pictures, and sets the network's shares by it."""
    assert network.sketch is not None
    some_B = torch.randperm(len(known.pictures), generator=torch.Generator().manual_seed(run.seed))[:MEASURED]
    error = network.sketch(_shaken(network, known, some_B, run)) - known.pictures[some_B]
    shares = shares_around(
        run.diffusion.prediction, schedule_named(run.diffusion.schedule), float(error.square().mean().sqrt()), network.shares.times_K
    )
    network.shares.set(shares)


@torch.no_grad()
def _shaken(network: CompactDecoder, known: Known, chosen_B: Tensor, run: DecoderRun) -> Tensor:
    """The condition of these pictures as the U-Net's training will give it: with noise, and now and then without one half."""
    z_BD = network.stats.standardise(known.clip_image[chosen_B])
    z_BD = z_BD + run.embedding_noise * torch.randn_like(z_BD)
    keep_image_B, keep_text_B = (torch.rand(len(chosen_B)) >= drop for drop in (run.drop_embedding, run.drop_text))
    z_BD = torch.where(keep_image_B[:, None], z_BD, network.null_image_D)
    nothing = torch.zeros(len(chosen_B), 0)
    text = Text(nothing.long(), known.clip_text[chosen_B], nothing)
    return network.condition(z_BD, text, keep_text_B)

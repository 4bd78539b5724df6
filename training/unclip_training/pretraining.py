"""Pretraining: regressors that are trained first and then frozen, of the prior (text to image embedding) and of the compact decoder.

A perceptron sees hundreds of pairs in the time in which a transformer or a U-Net sees one. The network around it then only learns the
residual; its size is measured here and sets the network's preconditioning.
"""

# N pairs of the set, B batch, D embedding, K principal components

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from unclip_diffusion.preconditioning import coefficients
from unclip_diffusion.schedule import schedule_named
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.preconditioning import Preconditioning
from unclip_models.prior import Prior
from unclip_models.text import Text
from unclip_training.config import DecoderRun, DiffusionRun, Pretraining, PriorRun
from unclip_training.optim import rate_at
from unclip_training.progress import Lines

NUM_MEASURED = 512  # pairs on which the residual is measured


@dataclass(frozen=True)
class RegressionData:
    """The training set: image and text embeddings [N, D] and, for the decoder, pictures in [-1, 1] [N, 3, S, S]."""

    clip_image: Tensor
    clip_text: Tensor
    pictures: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clip_image)


@dataclass(frozen=True)
class Regression:
    """One regressor's training: its layers, its settings, and from a batch of pairs to predictions and targets of deviation one."""

    name: str
    layers: nn.Module
    settings: Pretraining
    predictions_and_targets: Callable[[Tensor], tuple[Tensor, Tensor]]


def pretrain_prior(network: Prior, data: RegressionData, run: PriorRun) -> None:
    """Trains the prior's regressor, freezes it, and sets the prior's preconditioning by the residual."""
    regressor, settings = network.regressor, run.pretraining
    assert regressor is not None and network.preconditioning is not None and settings is not None
    target_ND = network.stats.standardise(data.clip_image)

    def predictions_and_targets(pairs_B: Tensor) -> tuple[Tensor, Tensor]:
        return network.regressed(data.clip_text[pairs_B], settings.noise), target_ND[pairs_B]

    _train(Regression("prior_regressor", regressor, settings, predictions_and_targets), len(data), run)
    some_B = _some(len(data), run.seed)
    with torch.no_grad():
        _set_preconditioning(network.preconditioning, network.regressed(data.clip_text[some_B]) - target_ND[some_B], run)


def pretrain_decoder(network: CompactDecoder, data: RegressionData, run: DecoderRun) -> None:
    """Fits the regressor's components, trains its layers, freezes them, and sets the decoder's preconditioning by the residual."""
    regressor, pictures = network.regressor, data.pictures
    assert regressor is not None and pictures is not None and run.pretraining is not None
    regressor.fit(pictures)
    target_NK = regressor.components(pictures)

    def predictions_and_targets(pairs_B: Tensor) -> tuple[Tensor, Tensor]:
        return regressor.layers(_condition(network, data, pairs_B, run)), target_NK[pairs_B]

    _train(Regression("decoder_regressor", regressor.layers, run.pretraining, predictions_and_targets), len(data), run)
    some_B = _some(len(data), run.seed)
    with torch.no_grad():
        residual = regressor(_condition(network, data, some_B, run)) - pictures[some_B]
        _set_preconditioning(network.preconditioning, residual, run)


def _train(regression: Regression, count: int, run: DiffusionRun) -> None:
    """AdamW on the mean squared error, as many steps as the settings' ratio to the run's own says."""
    layers, settings = regression.layers, regression.settings
    steps = max(1, round(settings.ratio * run.steps))
    generator, lines = torch.Generator().manual_seed(run.seed), Lines(regression.name, steps)
    optimizer = AdamW(layers.parameters(), lr=settings.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = settings.lr * rate_at(step, settings.warmup, steps)
        prediction, target = regression.predictions_and_targets(torch.randint(count, (settings.batch_size,), generator=generator))
        loss = nn.functional.mse_loss(prediction, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lines.at(step + 1, float(loss.detach()))
    layers.requires_grad_(False)


def _some(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:NUM_MEASURED]


def _set_preconditioning(preconditioning: Preconditioning, residual: Tensor, run: DiffusionRun) -> None:
    schedule, deviation = schedule_named(run.diffusion.schedule), float(residual.square().mean().sqrt())
    preconditioning.set(coefficients(run.diffusion.prediction, schedule, deviation, preconditioning.times_K))


@torch.no_grad()
def _condition(network: CompactDecoder, data: RegressionData, pairs_B: Tensor, run: DecoderRun) -> Tensor:
    """The condition of these pairs as the U-Net's training will give it: with noise, and now and then without one half."""
    z_BD = network.stats.standardise(data.clip_image[pairs_B])
    z_BD = z_BD + run.embedding_noise * torch.randn_like(z_BD)
    keep_image_B, keep_text_B = (torch.rand(len(pairs_B)) >= drop for drop in (run.drop_embedding, run.drop_text))
    z_BD = torch.where(keep_image_B[:, None], z_BD, network.null_image_D)
    nothing = torch.zeros(len(pairs_B), 0)
    return network.condition(z_BD, Text(nothing.long(), data.clip_text[pairs_B], nothing), keep_text_B)

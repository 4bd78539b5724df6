"""Training assets: the prior, the decoder, two upsamplers, and the judge that is none of them."""

import dagster as dg

from unclip_assets.clip import RESEARCH, clip_model
from unclip_assets.pointers import present
from unclip_assets.publish import training_shards
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import Home
from unclip_assets.trainings.trainer import Trainer, TrainingConfig
from unclip_pairs.pointers import point

KINDS = {"pytorch", "lightning", "mlflow"}


def trained(
    context: dg.AssetExecutionContext,
    stage: str,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: Timer,
) -> previews.Materialized:
    """One stage, trained on the published set."""
    store = home.store()
    with timer.step(stage) as step:
        job = trainer.job(store, stage, config, present(store, "training_shards"))
        manifest = trainer.train(context, pipes, store, job, step)
    point(store, f"{stage}_model", job.run, manifest.digest)
    return previews.made(step, manifest, run=job.run, **previews.training(store, job.folder))


@dg.asset(group_name="train", kinds=KINDS, owners=RESEARCH, deps=[training_shards, clip_model])
def prior_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """The diffusion prior: from a caption to the CLIP embedding of a picture that fits it."""
    return trained(context, "prior", config, home, trainer, pipes, timer)


@dg.asset(group_name="train", kinds=KINDS, owners=RESEARCH, deps=[training_shards, clip_model])
def decoder_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """The decoder: from a CLIP embedding to a small picture."""
    return trained(context, "decoder", config, home, trainer, pipes, timer)


@dg.asset(group_name="train", kinds=KINDS, owners=RESEARCH, deps=[training_shards, clip_model])
def upsampler_256_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """The first upsampler: from the decoder's picture to one of the middle size (256 in the paper)."""
    return trained(context, "upsampler_256", config, home, trainer, pipes, timer)


@dg.asset(group_name="train", kinds=KINDS, owners=RESEARCH, deps=[training_shards, clip_model])
def upsampler_1024_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """The second upsampler: from the middle size to the largest (1024 in the paper)."""
    return trained(context, "upsampler_1024", config, home, trainer, pipes, timer)


@dg.asset(group_name="evaluate", kinds=KINDS, owners=RESEARCH, deps=[training_shards])
def judge_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """The judge: scores how well a picture fits a caption, and shares no weight with the CLIP that the pipeline is trained with."""
    return trained(context, "judge", config, home, trainer, pipes, timer)

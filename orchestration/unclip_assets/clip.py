"""CLIP assets: the network that puts pictures and captions into one space, and what it makes of the safe set."""

import dagster as dg

from unclip_assets.curate import DATA, safety_verdicts
from unclip_assets.curation import curation_of
from unclip_assets.partitions import crawl_batches
from unclip_assets.pointers import present
from unclip_assets.reporting import previews
from unclip_assets.reporting.timing import Timer
from unclip_assets.resources import CurationPolicy, Home
from unclip_assets.trainings.trainer import Trainer, TrainingConfig
from unclip_curation.pipeline import run_step
from unclip_curation.search import faiss_index
from unclip_pairs.pointers import point

RESEARCH = ["team:research"]


@dg.asset(group_name="clip", kinds={"pytorch", "lightning"}, owners=RESEARCH, deps=[safety_verdicts])
def clip_model(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    home: Home,
    trainer: Trainer,
    pipes: dg.PipesSubprocessClient,
    timer: dg.ResourceParam[Timer],
) -> previews.Materialized:
    """CLIP, trained on the broad, safe set: the space in which the prior and the decoder speak."""
    store = home.store()
    with timer.step("clip") as step:
        job = trainer.job(store, "clip", config, present(store, "safety_verdicts"))
        manifest = trainer.train(context, pipes, store, job, step)
    point(store, "clip_model", job.run, manifest.digest)
    return previews.made(step, manifest, run=job.run, **previews.training(store, job.folder))


@dg.asset(group_name="embed", kinds={"pytorch", "parquet"}, owners=DATA, partitions_def=crawl_batches, deps=[clip_model])
def clip_embeddings(
    context: dg.AssetExecutionContext, home: Home, policy: CurationPolicy, timer: dg.ResourceParam[Timer]
) -> previews.Materialized:
    """CLIP's embedding of every safe picture and caption, and how well the two agree."""
    with timer.step("embed") as step:
        manifest = run_step("clip_embeddings", curation_of(home, policy, embedded=True), context.partition_key, step.progress)
    return previews.made(step, manifest)


@dg.asset(group_name="embed", kinds={"faiss"}, owners=DATA, partitions_def=crawl_batches, deps=[clip_embeddings])
def search_index(context: dg.AssetExecutionContext, home: Home, timer: dg.ResourceParam[Timer]) -> previews.Materialized:
    """The batch made searchable: faiss indices beside embeddings and metadata, in clip-retrieval's layout."""
    store, batch = home.store(), context.partition_key
    with timer.step("embed") as step:
        embeddings = present(store, "clip_embeddings").name
        manifest = faiss_index.build_index(store, embeddings, batch)
    return previews.made(step, manifest, serve="unclip serve search")

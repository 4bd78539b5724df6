"""Command `python -m unclip_training RECIPE --store DIR --dataset VERSION --run NAME`: one training, or the rest of it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dagster_pipes import PipesContext, PipesEnvVarParamsLoader, open_dagster_pipes

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import Manifest


def parser() -> argparse.ArgumentParser:
    """The options of one launch; where it runs is the environment's business."""
    options = argparse.ArgumentParser(prog="python -m unclip_training", description="Train one stage.")
    options.add_argument("recipe", help="a recipe of unclip_training.recipes.register, such as prior_tiny")
    options.add_argument("--store", required=True, help="the folder that holds everything (UNCLIP_HOME)")
    options.add_argument("--dataset", required=True, help="a published dataset version, or 'safe' for the crawl's safe pairs")
    options.add_argument("--run", required=True, help="the name of this training; the same name resumes it")
    options.add_argument("--clip", help="the run folder of the CLIP to be conditioned on, such as models/clip/first")
    options.add_argument("--from", dest="begin_from", help="a run's folder or a bundle whose weights to begin with, instead of random ones")
    options.add_argument("--steps", type=int, help="instead of the recipe's")
    options.add_argument("--seed", type=int, help="instead of the recipe's")
    options.add_argument("--processes", type=int, default=1, help="processes on each machine, in step with each other (DDP)")
    options.add_argument("--nodes", type=int, default=1, help="machines")
    options.add_argument("--tracking", help="an MLflow tracking server, instead of the store's own database")
    return options


@contextmanager
def pipes() -> Iterator[PipesContext | None]:
    """The channel to Dagster when Dagster started this process, else None."""
    if PipesEnvVarParamsLoader().is_dagster_pipes_process():
        with open_dagster_pipes() as context:
            yield context
    else:
        yield None


def train(options: argparse.Namespace, dagster_run_id: str) -> Manifest:
    """The manifest of the training; `UserError` for an unknown recipe and whatever else a user can put right."""
    from unclip_training.fit import Launch, fit
    from unclip_training.recipes.register import recipe_named

    recipe = recipe_named(options.recipe)
    launch = Launch(
        dataset=options.dataset,
        name=options.run,
        clip=options.clip,
        begin_from=options.begin_from,
        steps=options.steps,
        seed=options.seed,
        processes=options.processes,
        nodes=options.nodes,
        dagster_run_id=dagster_run_id,
        tracking_uri=options.tracking,
    )
    return fit(open_store(options.store), recipe, launch)


def report(context: PipesContext, manifest: Manifest, options: argparse.Namespace) -> None:
    """Tells Dagster what came out."""
    stage = manifest.settings["stage"]
    metadata = dict(manifest.counts) | {
        "folder": f"models/{stage}/{options.run}",
        "recipe": options.recipe,
        "manifest_digest": manifest.digest,
        "mlflow_run_id": manifest.settings["mlflow_run_id"],
    }
    context.report_asset_materialization(metadata=metadata, data_version=manifest.digest[:16])


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when trained, 2 with one sentence when the user can put it right."""
    options = parser().parse_args(arguments)
    try:
        with pipes() as context:
            manifest = train(options, context.run_id if context is not None else "")
            if context is not None:
                report(context, manifest, options)
    except UserError as error:
        sys.stderr.write(f"unclip: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Group `unclip model`: train, evaluate, release, promote, roll back, and trace a picture to its sources."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

GatesFile = Annotated[
    Path | None, typer.Option("--gates", help="A YAML or JSON file of the gates' thresholds. $UNCLIP_GATE_POLICY when left out.")
]
NumPrompts = Annotated[int, typer.Option(help="Training captions, and as many prompts in own words.")]
NumComposed = Annotated[int, typer.Option(help="Prompts of every other set: attributes, held-out, scenes.")]
NumDiverse = Annotated[int, typer.Option(help="Prompts that are painted with four seeds each.")]
group = typer.Typer(help="Train, evaluate, release and trace models.", no_args_is_help=True)


@group.command()
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="A recipe, such as decoder_tiny; training/README.md lists them.")],
    dataset: Annotated[str | None, typer.Option(help="A published version; the present one when left out.")] = None,
    run: Annotated[str, typer.Option(help="The run's name; the same name again goes on where it stopped.")] = "manual",
    clip: Annotated[str | None, typer.Option(help="The run of the CLIP to train with; the present one when left out.")] = None,
    begin_from: Annotated[
        str | None, typer.Option("--from", help="A run's folder or a bundle whose weights to begin with; random ones when left out.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; the recipe's own number when left out.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything random.")] = 0,
) -> None:
    """Train one stage by its recipe.

    It goes on from its last checkpoint when it was stopped.
    """
    from unclip_assets.pointers import present
    from unclip_assets.trainings.trainer import TrainingCommand, conditioning_clip
    from unclip_pairs.home import open_store

    store, stage = open_store(context.obj.home), recipe.rpartition("_")[0]
    present_clip = None if clip else conditioning_clip(store, recipe)
    data = dataset or ("safe" if stage == "clip" else present(store, "training_shards").name)
    command = TrainingCommand(
        recipe=recipe,
        dataset=data,
        run=run,
        clip=present_clip.name if present_clip else clip,
        steps=steps,
        seed=seed,
        tracking_uri=context.obj.tracking_uri,
        begin_from=begin_from,
    ).arguments(store)
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@group.command()
def evaluate(
    context: typer.Context,
    num_prompts: NumPrompts = 200,
    num_composed: NumComposed = 100,
    num_diverse: NumDiverse = 24,
    prompts: Annotated[Path | None, typer.Option(help="A prompts file of your own in place of the dataset version's.")] = None,
) -> None:
    """Evaluate the present bundle.

    Each set of prompts stands beside real pictures, the mean of others and the nearest training pictures, by the same judge. Figures on
    prompts of your own are kept apart, and no gate reads them.
    """
    from rich.console import Console

    from unclip_assets import candidates
    from unclip_assets.reporting.previews import flat
    from unclip_assets.resources import check_files
    from unclip_evaluation.figures import main_figures
    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone
    from unclip_orchestration.summary import sets_table
    from unclip_pairs.home import open_store

    check_files(context.obj)
    store = open_store(context.obj.home)
    with alone(context.obj.home), lines(Console(stderr=True)) as listener:
        listener.began("evaluate")
        numbers = candidates.Numbers(num_prompts=num_prompts, num_composed=num_composed, num_diverse=num_diverse)

        def progress(done: int, total: int | None, message: str = "") -> None:
            listener.moved("evaluate", done, total, message)

        if prompts is None:
            folder, figures = candidates.folder(store), candidates.evaluated(store, numbers, progress, context.obj.policies)
        else:
            folder, figures = candidates.evaluated_on(store, prompts, numbers, progress)
    for name, value in flat(main_figures(figures)):
        typer.echo(f"{name:<40} {value:.4g}" if isinstance(value, float) else f"{name:<40} {value}")
    Console(width=200).print(sets_table(figures))
    typer.echo(f"look at {store.path(folder)}/contact_sheet.png; every figure is in evaluation.json beside it")


@group.command()
def release(
    context: typer.Context,
    gates: GatesFile = None,
    num_prompts: NumPrompts = 200,
    num_composed: NumComposed = 100,
    num_diverse: NumDiverse = 24,
) -> None:
    """Bundle the present stages and release them.

    The bundle is evaluated and registered as candidate; when every gate lets it through, it becomes champion.
    """
    from dataclasses import replace

    from rich.console import Console

    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone, instance_at, run_job

    environment = replace(context.obj, gate_policy=gates or context.obj.gate_policy)
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console(stderr=True)) as listener:
        numbers = {"num_prompts": num_prompts, "num_composed": num_composed, "num_diverse": num_diverse}
        run_job(instance, environment, "release", config={"evaluation": numbers}, listener=listener)


@group.command("import")
def import_(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A bundle of ours, or a folder of Karlo or Kandinsky 2.2 in diffusers' format.")],
    prior: Annotated[Path | None, typer.Option(help="The folder of the prior, where it is another one (Kandinsky 2.2).")] = None,
    variations: Annotated[Path | None, typer.Option(help="A folder with what reads pictures (Karlo).")] = None,
    inpaint: Annotated[Path | None, typer.Option(help="The folder for inpainting (Kandinsky 2.2); kept for edits.")] = None,
    licence: Annotated[Path | None, typer.Option(help="The licence's text, for a folder that has none.")] = None,
    sha256sums: Annotated[Path | None, typer.Option(help="A list as sha256sum writes it, to compare every file with.")] = None,
    prior_steps: Annotated[int | None, typer.Option(help="Sampling steps of the prior; diffusers' number when left out.")] = None,
    decoder_steps: Annotated[int | None, typer.Option(help="Sampling steps of the decoder; diffusers' number when left out.")] = None,
    gates: GatesFile = None,
    num_prompts: NumPrompts = 200,
    num_composed: NumComposed = 100,
    num_diverse: NumDiverse = 24,
) -> None:
    """Import a model that was trained elsewhere and register it as a candidate.

    Nothing is fetched: the files lie on this machine. Where this home has a dataset and a judge, the model is evaluated for the gates.
    """
    from dataclasses import replace

    from rich.console import Console

    from unclip_assets import candidates, imports
    from unclip_assets.resources import check_files
    from unclip_orchestration.progress import stages
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store
    from unclip_release.imported import ImportRequest

    where = replace(context.obj, gate_policy=gates or context.obj.gate_policy)
    check_files(where)
    beside = {"prior": prior, "variations": variations, "inpaint": inpaint, "licence": licence, "sha256sums": sha256sums}
    request = ImportRequest(folder=folder, prior_steps=prior_steps, decoder_steps=decoder_steps, **beside)
    numbers = candidates.Numbers(num_prompts=num_prompts, num_composed=num_composed, num_diverse=num_diverse)
    with alone(where.home), stages(Console(stderr=True)) as progress:
        store = open_store(where.home)
        version = imports.imported(store, where, request, numbers, progress)
    typer.echo(f"{version.label} is a candidate ({version.bundle})")
    for objection in version.objections:
        typer.echo(f"it may not become champion: {objection}")


@group.command()
def promote(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="A version's number or an alias.")] = "candidate",
    gates: GatesFile = None,
) -> None:
    """Promote a version to champion, if every gate lets it through.

    Its gates ask by the file, or else by the thresholds that are kept with it. The one before stays at hand for a rollback.
    """
    from unclip_pairs.home import open_store
    from unclip_release.gate_file import load_gate_policy
    from unclip_release.registry import open_registry

    file = gates or context.obj.gate_policy
    policy = load_gate_policy(file) if file else None
    version = open_registry(open_store(context.obj.home), context.obj.tracking_uri).promote(which, policy)
    typer.echo(f"{version.label} is champion ({version.bundle})")


@group.command()
def rollback(context: typer.Context) -> None:
    """Roll back to the version that was champion before."""
    from unclip_pairs.home import open_store
    from unclip_release.registry import open_registry

    version = open_registry(open_store(context.obj.home), context.obj.tracking_uri).rollback()
    typer.echo(f"{version.label} is champion again ({version.bundle})")


@group.command()
def lineage(
    context: typer.Context,
    start: Annotated[str, typer.Argument(help="A generated PNG, or a version or alias of the model.")],
    full: Annotated[bool, typer.Option("--full", help="Print every step with its facts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary and every step as one JSON object.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write one HTML file with sample pictures and the graph of steps.")] = None,
) -> None:
    """Trace a picture or a model back to the pages it was learned from.

    The way leads over its model version, its training shards and the policy that chose them.
    """
    from unclip_pairs.home import open_store
    from unclip_release.lineage import full_text, trace
    from unclip_release.lineage_summary import summarize, summary_json, summary_text
    from unclip_release.registry import open_registry

    store = open_store(context.obj.home)
    found = trace(store, open_registry(store, context.obj.tracking_uri), start)
    if page is not None:
        from unclip_release.lineage_page import write_page

        write_page(found, page)
        typer.echo(f"wrote {page}")
    elif as_json:
        typer.echo(summary_json(found))
    else:
        typer.echo(full_text(found) if full else summary_text(summarize(found)))

"""Group `unclip leaks`: evaluation sets, and the check that nothing of them is trained on."""

from pathlib import Path
from typing import Annotated

import typer

from unclip_orchestration.commands.options import PolicyFile, chosen_policy

group = typer.Typer(help="Keep evaluation sets out of the training data.", no_args_is_help=True)


@group.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The set's name; a set never changes.")],
    folder: Annotated[Path | None, typer.Option(help="A folder of pictures; they are copied into the home.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A dataset version that was published in this home.")] = None,
    split: Annotated[str, typer.Option(help="The split of the dataset that is the set.")] = "held_out",
) -> None:
    """Add an evaluation set: pictures that no training may see.

    From then on, what shows one of them is dropped as `evaluation_leak`.
    """
    from unclip_curation.duplicates.evaluation_sets import add_dataset, add_folder
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    if (folder is None) == (dataset is None):
        raise UserError("name either --folder or --dataset, the place that the set's pictures come from")
    made = add_folder(store, name, folder) if folder is not None else add_dataset(store, name, str(dataset), split)
    typer.echo(f"{name}: {made.counts['rows']:,} pictures; `unclip leaks compare` holds them against what is crawled")


@group.command("list")
def list_sets(context: typer.Context) -> None:
    """List the evaluation sets and how many pictures each has."""
    from unclip_curation.duplicates.evaluation_sets import set_manifest, set_names
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    for name in set_names(store):
        made = set_manifest(store, name)
        typer.echo(f"{made.counts['rows']:>8,}  {name}  {made.created}")


@group.command()
def compare(context: typer.Context) -> None:
    """Compare the evaluation sets with the crawled pairs.

    The final stage drops the pairs that show one of their pictures.
    """
    from unclip_assets import leak_checks
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store
    from unclip_pairs.pointers import find

    store = open_store(context.obj.home)
    embeddings = find(store, "clip_embeddings")
    with alone(context.obj.home):
        made = leak_checks.compare(store, embeddings.name if embeddings else None)
    typer.echo(
        "no evaluation set is named" if made is None else f"{made.counts['rows']:,} near pairs of a crawled and an evaluation picture"
    )


@group.command()
def check(
    context: typer.Context,
    version: Annotated[
        str | None, typer.Argument(help="A published dataset version; the present one otherwise.", show_default=False)
    ] = None,
    policy: PolicyFile = None,
) -> None:
    """Check that a published dataset trains on no evaluation picture.

    Held-out pairs count too. Exit code 1 when something leaks; the pictures, side by side, are written to HOME/reports/leaks.png.
    """
    from unclip_assets import leak_checks
    from unclip_assets.pointers import present
    from unclip_curation.reports.leak_pages import leak_sheet
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    chosen = version or present(store, "training_shards").name
    objections, found = leak_checks.objections(store, chosen, chosen_policy(context, policy))
    for objection in objections:
        typer.echo(objection)
    if not objections:
        typer.echo(f"nothing leaks into {chosen}")
        return
    if (sheet := leak_sheet(store, chosen, leak_checks.nearest(found))) is not None:
        with store.writing("reports/leaks.png") as part:
            sheet.save(part, "PNG")
        typer.echo(f"wrote {store.path('reports/leaks.png')}")
    raise typer.Exit(1)

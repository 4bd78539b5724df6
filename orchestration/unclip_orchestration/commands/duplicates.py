"""Commands on duplicates and leaks: look at groups, name evaluation sets, check that nothing of them is trained on."""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Data"
leaks = typer.Typer(help="Evaluation sets, and what of them is in the training data.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.command(rich_help_panel=PANEL)(duplicates)
    app.add_typer(leaks, name="leaks", rich_help_panel=PANEL)


def duplicates(
    context: typer.Context,
    policy: Annotated[Path, typer.Option(help="The policy file; 'default' is the one that ships.")] = Path("default"),
    groups: Annotated[int, typer.Option(help="How many groups and borderline pairs the page shows.", min=1, max=500)] = 30,
    anew: Annotated[bool, typer.Option(help="First compare everything with everything again, not only what is new.")] = False,
) -> None:
    """Show the groups of duplicates: the biggest, the borderline pairs, which picture stays of each and why.

    A page with the pictures is written to HOME/reports/duplicates.html.
    """
    from unclip_assets.pointers import find
    from unclip_curation.duplicates.search import find_duplicates
    from unclip_curation.policy import load_policy
    from unclip_curation.reports.duplicate_pages import duplicates_page, find_groups
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store

    store, chosen = open_store(context.obj.home), load_policy(None if str(policy) == "default" else policy)
    if anew:
        embeddings = find(store, "clip_embeddings")
        with alone(context.obj.home):
            find_duplicates(store, embeddings.name if embeddings else None, anew=True)
    found = find_groups(store, chosen)
    typer.echo(f"{len(found):,} groups; {sum(len(group.members) - 1 for group in found):,} pairs go")
    for group in found[: min(groups, 10)]:
        typer.echo(f"{len(group.members):>6}  {group.stays} stays: {group.why}")
    with store.writing("reports/duplicates.html") as part:
        part.write_text(duplicates_page(store, chosen, found, groups), "utf-8")
    typer.echo(f"look at {store.path('reports/duplicates.html')}")


@leaks.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The set's name; a set never changes.")],
    folder: Annotated[Path | None, typer.Option(help="A folder of pictures; they are copied into the home.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A dataset version that was published in this home.")] = None,
    split: Annotated[str, typer.Option(help="The split of the dataset that is the set.")] = "held_out",
) -> None:
    """Name pictures that no training may see. From then on, what shows one of them is dropped as `evaluation_leak`."""
    from unclip_curation.duplicates.evaluation_sets import add_dataset, add_folder
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    if (folder is None) == (dataset is None):
        raise UserError("name either --folder or --dataset, the place that the set's pictures come from")
    made = add_folder(store, name, folder) if folder is not None else add_dataset(store, name, str(dataset), split)
    typer.echo(f"{name}: {made.counts['rows']:,} pictures; `unclip leaks compare` holds them against what is crawled")


@leaks.command("list")
def show(context: typer.Context) -> None:
    """Name the evaluation sets and how many pictures each has."""
    from unclip_curation.duplicates.evaluation_sets import set_manifest, set_names
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    for name in set_names(store):
        made = set_manifest(store, name)
        typer.echo(f"{made.counts['rows']:>8,}  {name}  {made.created}")


@leaks.command()
def compare(context: typer.Context) -> None:
    """Hold the evaluation sets against the crawled pairs; the final stage drops those that show one of their pictures."""
    from unclip_assets import leak_checks
    from unclip_assets.pointers import find
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    embeddings = find(store, "clip_embeddings")
    with alone(context.obj.home):
        made = leak_checks.compare(store, embeddings.name if embeddings else None)
    typer.echo(
        "no evaluation set is named" if made is None else f"{made.counts['rows']:,} near pairs of a crawled and an evaluation picture"
    )


@leaks.command()
def check(
    context: typer.Context,
    version: Annotated[
        str | None, typer.Argument(help="A published dataset version; the present one otherwise.", show_default=False)
    ] = None,
) -> None:
    """Check that a published dataset trains on nothing that is held out or in an evaluation set; exit code 1 when it does.

    The pictures, side by side, are written to HOME/reports/leaks.png.
    """
    from unclip_assets import leak_checks
    from unclip_assets.pointers import present
    from unclip_curation.reports.leak_pages import leak_sheet
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    chosen = version or present(store, "training_shards").name
    objections, found = leak_checks.objections(store, chosen)
    for objection in objections:
        typer.echo(objection)
    if not objections:
        typer.echo(f"nothing leaks into {chosen}")
        return
    if (sheet := leak_sheet(store, chosen, leak_checks.nearest(found))) is not None:
        with store.writing("reports/leaks.png") as part:
            sheet.save(part, "PNG")
        typer.echo(f"look at {store.path('reports/leaks.png')}")
    raise typer.Exit(1)

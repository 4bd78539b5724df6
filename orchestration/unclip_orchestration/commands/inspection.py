"""Commands that look at what was collected: verdicts, groups of duplicates, search."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip_orchestration.commands.options import PolicyFile, Stage, chosen_policy, write_page

if TYPE_CHECKING:
    from unclip_pairs.store import Store


def verdicts(
    context: typer.Context,
    why: Annotated[str | None, typer.Option(help="The key of a pair: say what was measured and why it was kept or not.")] = None,
    stage: Stage = "final",
    check: Annotated[bool, typer.Option("--check", help="Make every verdict again from what its manifest names, and compare.")] = False,
) -> None:
    """Count what was kept and what was not, by reason.

    --why KEY explains one pair; --check proves every verdict, with exit code 1 when one comes out otherwise.
    """
    from unclip_curation.decisions.explain import explain
    from unclip_curation.decisions.verdicts import counts
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    if why is not None:
        typer.echo(explain(store, why))
        return
    if check:
        _prove(store, stage)
        return
    for reason, count in sorted(counts(store, stage).items(), key=lambda item: -item[1]):
        typer.echo(f"{count:>10,}  {reason}")


def _prove(store: "Store", stage: str) -> None:
    """Prints whether all verdicts came out the same; exit code 1 when not."""
    from unclip_curation.decisions.reproduce import reproduce

    found = reproduce(store, stage)
    for objection in found.objections:
        typer.echo(objection)
    if found.objections:
        raise typer.Exit(1)
    measured = ", ".join(f"{scorer} {version}" for scorer, version in found.measured.items())
    typer.echo(
        f"{found.rows:,} verdicts of the stage {stage} came out the same, made again by policy {found.policy_version} from {measured}"
    )


def duplicates(
    context: typer.Context,
    policy: PolicyFile = None,
    groups: Annotated[int, typer.Option(help="How many groups and borderline pairs the page shows.", min=1, max=500)] = 30,
    anew: Annotated[bool, typer.Option(help="First compare everything with everything again, not only what is new.")] = False,
) -> None:
    """Show the groups of duplicates, which picture stays of each and why.

    A page with the biggest groups and the borderline pairs is written to HOME/reports/duplicates.html.
    """
    from unclip_curation.duplicates.search import find_duplicates
    from unclip_curation.reports.duplicate_pages import duplicates_page, find_groups
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store
    from unclip_pairs.pointers import find

    store, chosen = open_store(context.obj.home), chosen_policy(context, policy)
    if anew:
        embeddings = find(store, "clip_embeddings")
        with alone(context.obj.home):
            find_duplicates(store, embeddings.name if embeddings else None, anew=True)
    found = find_groups(store, chosen)
    typer.echo(f"{len(found):,} groups; {sum(len(group.members) - 1 for group in found):,} pairs go")
    for group in found[: min(groups, 10)]:
        typer.echo(f"{len(group.members):>6}  {group.stays} stays: {group.why}")
    write_page(store, "duplicates", duplicates_page(store, chosen, found, groups))


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="Words, or the path of a picture.")],
    count: Annotated[int, typer.Option("--count", "-n", help="How many to show.", min=1, max=1000)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Write the pictures found to this PNG.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="The CLIP whose embeddings are searched, as for `unclip data embed`; else the home's.")
    ] = None,
    unsafe: Annotated[bool, typer.Option(help="Show also what the safety stage does not keep.")] = False,
) -> None:
    """Find the pictures nearest to words or to a picture.

    Both meet in the space of a CLIP. What was taken down is not shown. `unclip serve search` opens the same search as a page.
    """
    from unclip_assets.search import found_by
    from unclip_curation.samples import sheet_of
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    rows = found_by(store, query, count, clip, not unsafe)
    for row in rows:
        typer.echo(
            json.dumps(row, ensure_ascii=False) if as_json else f"{row['similarity']:.3f}  {row['key']}  {row['caption']}  {row['url']}"
        )
    if sheet is not None and (image := sheet_of(store, [row["key"] for row in rows], count)) is not None:
        image.save(sheet, "PNG")
        typer.echo(f"wrote {sheet}", err=as_json)

"""Commands on published datasets: list the versions, copy one elsewhere."""

from typing import Annotated

import typer

PANEL = "Data"


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.command(rich_help_panel=PANEL)(datasets)
    app.command(rich_help_panel=PANEL)(publish)


def datasets(
    context: typer.Context,
    at: Annotated[str, typer.Option(help="Another place than the home: a folder, or s3://BUCKET/PREFIX.")] = "",
) -> None:
    """List the published versions, oldest first: name, time, pairs by split, digest of the manifest."""
    from unclip_curation.publishing.versions import latest, versions
    from unclip_pairs.home import open_store

    store = open_store(at or context.obj.home)
    current = latest(store)
    found = versions(store)
    for version in found:
        splits = ", ".join(f"{count:,} {split}" for split, count in sorted(version.manifest.counts.items(), reverse=True))
        mark = "  latest" if version.name == current else ""
        typer.echo(f"{version.name}  {version.manifest.created}  {splits}  {version.manifest.digest[:12]}{mark}")
    if not found:
        typer.echo(f"nothing is published in {store} yet")


def publish(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="Where to: s3://BUCKET/PREFIX (with ?endpoint=URL where needed), or a folder.")],
    version: Annotated[str, typer.Argument(help="The version; the newest unless said.")] = "",
) -> None:
    """Copy a dataset version elsewhere: readers there see it whole or not at all. Run it again to go on after a stop."""
    from unclip_curation.publishing.versions import copy_version, latest
    from unclip_pairs.home import open_store

    def report(done: int, total: int | None, message: str = "") -> None:
        typer.echo(f"{done + 1} of {total}: {message}", err=True)

    target = open_store(to)
    manifest = copy_version(open_store(context.obj.home), version, target, report)
    typer.echo(f"{latest(target)} is in {target}: {sum(manifest.counts.values()):,} pairs, manifest {manifest.digest[:12]}")

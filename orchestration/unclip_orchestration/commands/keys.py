"""Group `unclip keys`: who may use the Images API."""

from typing import Annotated

import typer

group = typer.Typer(help="Create, list and revoke keys of the Images API.", no_args_is_help=True)


@group.command()
def create(context: typer.Context, name: Annotated[str, typer.Argument(help="Whose key it is.")]) -> None:
    """Create a key and show it, this once; only its hash is kept."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    typer.echo(open_access(open_store(context.obj.home)).create(name))


@group.command("list")
def list_keys(context: typer.Context) -> None:
    """List the keys: whose they are, when they were made and revoked."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    known = open_access(open_store(context.obj.home)).all_keys()
    for key in known:
        typer.echo(f"{key.name:<24} made {key.created:%Y-%m-%d %H:%M}" + (f"  revoked {key.revoked:%Y-%m-%d %H:%M}" if key.revoked else ""))
    if not known:
        typer.echo("there is no key yet; `unclip keys create NAME` makes one")


@group.command()
def revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="Whose key it was.")]) -> None:
    """Revoke a key; it stops working at once."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    open_access(open_store(context.obj.home)).revoke(name)
    typer.echo(f"{name} has no key any more")

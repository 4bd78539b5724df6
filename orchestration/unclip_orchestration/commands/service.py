"""Commands of the service: the Images API and its keys."""

from typing import Annotated

import typer

PANEL = "Service"
keys = typer.Typer(help="Who may use the server. A key is shown once, when it is made; only its hash is kept.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.command(rich_help_panel=PANEL)(serve)
    app.add_typer(keys, name="keys", rich_help_panel=PANEL)


def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="The port; else $UNCLIP_PORT, else 8000.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on; else $UNCLIP_HOST, else 127.0.0.1.")] = None,
) -> None:
    """Serve the Images API with the champion until you press Ctrl-C."""
    from unclip_server.api.serve import serve as serve_forever
    from unclip_server.api.settings import read_settings

    where = context.obj
    settings = read_settings(home=where.home, tracking_uri=where.tracking_uri, policy=where.safety_policy, host=host, port=port)
    serve_forever(settings, typer.echo)


@keys.command()
def create(context: typer.Context, name: Annotated[str, typer.Argument(help="Whose key it is.")]) -> None:
    """Make a key and show it, this once."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    typer.echo(open_access(open_store(context.obj.home)).create(name))


@keys.command("list")
def listed(context: typer.Context) -> None:
    """Whose keys there are."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    known = open_access(open_store(context.obj.home)).all_keys()
    for key in known:
        typer.echo(f"{key.name:<24} made {key.created:%Y-%m-%d %H:%M}" + (f"  revoked {key.revoked:%Y-%m-%d %H:%M}" if key.revoked else ""))
    if not known:
        typer.echo("there is no key yet; `unclip keys create NAME` makes one")


@keys.command()
def revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="Whose key it was.")]) -> None:
    """Take a key back; it stops working at once."""
    from unclip_pairs.home import open_store
    from unclip_server.api.access import open_access

    open_access(open_store(context.obj.home)).revoke(name)
    typer.echo(f"{name} has no key any more")

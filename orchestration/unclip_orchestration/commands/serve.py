"""Group `unclip serve`: the Images API, the search page and the labelling page."""

from typing import Annotated

import typer

from unclip_orchestration.commands.options import Host

group = typer.Typer(help="Serve the Images API, the search page or the labelling page.", no_args_is_help=True)
Port = Annotated[int, typer.Option(help="The port; 0 takes any.")]
LOOPBACK = "127.0.0.1"


@group.command()
def api(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="The port; else $UNCLIP_PORT, else 8000.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on; else $UNCLIP_HOST, else 127.0.0.1.")] = None,
) -> None:
    """Serve the Images API with the champion until you press Ctrl-C."""
    from unclip_server.api.serve import serve
    from unclip_server.api.settings import read_settings

    where = context.obj
    settings = read_settings(home=where.home, tracking_uri=where.tracking_uri, policies=where.policies, host=host, port=port)
    serve(settings, typer.echo)


@group.command()
def search(
    context: typer.Context,
    clip: Annotated[
        str | None, typer.Option(help="The CLIP whose embeddings are searched, as for `unclip data embed`; else the home's.")
    ] = None,
    unsafe: Annotated[bool, typer.Option(help="Show also what the safety stage does not keep.")] = False,
    port: Port = 8760,
    host: Host = LOOPBACK,
) -> None:
    """Serve clip-retrieval's service and the search page until you press Ctrl-C."""
    from unclip_assets.search import open_space
    from unclip_pairs.home import open_store
    from unclip_server.search.serve import serve_search

    store = open_store(context.obj.home)
    space = open_space(store, clip)
    serve_search(store, space.folder, (space.words, space.picture), not unsafe, (host, port), typer.echo)


@group.command()
def labels(
    context: typer.Context,
    port: Port = 8750,
    host: Host = LOOPBACK,
    break_minutes: Annotated[float, typer.Option(help="A break is asked for after so many minutes without a pause.")] = 25,
    break_answers: Annotated[int, typer.Option(help="A break is asked for after so many answers without a pause.")] = 120,
) -> None:
    """Serve the labelling page until you press Ctrl-C.

    The link that is printed is the key to it.
    """
    from unclip_labels.raters import RestAdvice
    from unclip_pairs.home import open_store
    from unclip_server.labels.serve import serve_labels

    serve_labels(open_store(context.obj.home), host, port, RestAdvice(break_minutes, break_answers), typer.echo)

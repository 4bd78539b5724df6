"""Command that finds pictures, in the terminal or on a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

PANEL = "Data"


def add_to(app: typer.Typer) -> None:
    """The command of this file becomes one of `unclip`."""
    app.command(rich_help_panel=PANEL)(search)


def search(
    context: typer.Context,
    query: Annotated[str | None, typer.Argument(help="Words, or the path of a picture.", show_default=False)] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How many to show.", min=1, max=1000)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Write the pictures found to this PNG.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="The CLIP whose embeddings are searched, as for `unclip embed`; else the home's.")
    ] = None,
    unsafe: Annotated[bool, typer.Option(help="Show also what the safety stage does not keep.")] = False,
    serve: Annotated[bool, typer.Option(help="Serve clip-retrieval's service and a page until you press Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="With --serve: the port; 0 takes any.")] = 8760,
    host: Annotated[str, typer.Option(help="With --serve: the address; other machines reach it only if you say so.")] = "127.0.0.1",
) -> None:
    """Find the pictures nearest to words or to a picture, in the space of a CLIP. What was taken down is not shown."""
    from unclip_assets.search import found_by, open_space
    from unclip_curation.samples import sheet_of
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    if serve:
        from unclip_server.search.serve import serve_search

        space = open_space(store, clip)
        serve_search(store, space.folder, (space.words, space.picture), not unsafe, (host, port), typer.echo)
        return
    if query is None:
        raise UserError("nothing was asked for; give words or the path of a picture, or --serve for the page")
    rows = found_by(store, query, count, clip, not unsafe)
    for row in rows:
        typer.echo(
            json.dumps(row, ensure_ascii=False) if as_json else f"{row['similarity']:.3f}  {row['key']}  {row['caption']}  {row['url']}"
        )
    if sheet is not None and (image := sheet_of(store, [row["key"] for row in rows], count)) is not None:
        image.save(sheet, "PNG")
        typer.echo(f"look at {sheet}")

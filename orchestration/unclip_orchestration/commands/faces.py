"""Group `unclip faces`: identities that the operator excludes."""

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(help="Exclude identities whose faces must not be learned from; embeddings only, encrypted.", no_args_is_help=True)


@group.command()
def enrol(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What you call the identity; the name is encrypted too.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of it; the largest face of each counts.", exists=True, dir_okay=False)],
    key_file: Annotated[Path | None, typer.Option(help="Where the key of a first gallery is made; ~/.config/unclip otherwise.")] = None,
) -> None:
    """Exclude an identity by its face.

    The face's embeddings are stored, the pictures are not. Then run `unclip data score identities`.
    """
    from unclip_curation.scorers.identities import enrol as add
    from unclip_orchestration.running import alone
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store
    from unclip_pairs.images import DecodeError, decode

    try:
        images = [decode(path.read_bytes()) for path in pictures]
    except (DecodeError, OSError) as error:
        raise UserError(f"a picture cannot be read ({error}); give PNG, JPEG, WebP or GIF files") from error
    with alone(context.obj.home):
        count = add(open_store(context.obj.home), name, images, key_file)
    typer.echo(f"enrolled; {count} embeddings are held for it")


@group.command("list")
def list_identities(context: typer.Context) -> None:
    """List the enrolled identities, with the number that feature files know each by."""
    from unclip_curation.scorers.identities import read_gallery
    from unclip_pairs.home import open_store

    for one in read_gallery(open_store(context.obj.home)):
        typer.echo(f"{one.number}  {len(one.vectors):>3} embeddings  {one.name}")


@group.command()
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="As `unclip faces list` shows it.")]) -> None:
    """Remove an identity and its embeddings from the gallery."""
    from unclip_curation.scorers.identities import remove as take_out
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store

    with alone(context.obj.home):
        take_out(open_store(context.obj.home), name)
    typer.echo("removed")

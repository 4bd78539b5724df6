"""Commands that paint: from words, or from another picture."""

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Pictures"
OUT = typer.Option("-o", "--out", help="The folder the pictures are put into.")
COUNT = typer.Option("-n", help="How many pictures.", min=1, max=10)
SEED = typer.Option(help="The same seed gives the same picture.")
SIZE = typer.Option(help="The side in pixels: 256, 512 or 1024.")


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    for command in (generate, variations):
        app.command(rich_help_panel=PANEL)(command)


def generate(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What to paint.")],
    count: Annotated[int, COUNT] = 1,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, OUT] = Path("pictures"),
    size: Annotated[int, SIZE] = 256,
) -> None:
    """Paint pictures for a prompt with the champion. Prompts and pictures pass the same policy as on the server."""
    from unclip_orchestration import local_generation
    from unclip_server.service import PictureRequest

    request = PictureRequest(prompt=prompt, seeds=tuple(range(seed, seed + count)), size=size)
    for path in local_generation.generate(context.obj, request, out):
        typer.echo(path)


def variations(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="A PNG, JPEG, WebP or GIF picture.")],
    count: Annotated[int, COUNT] = 1,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, OUT] = Path("pictures"),
    size: Annotated[int, SIZE] = 256,
) -> None:
    """Paint pictures that mean what another picture means: its CLIP embedding takes the prior's place."""
    from unclip_orchestration import local_generation

    request = local_generation.variation_request(image, range(seed, seed + count), size)
    for path in local_generation.generate(context.obj, request, out):
        typer.echo(path)

"""Commands that generate pictures: from words, or from another picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip_server.service import PictureRequest

OUT = typer.Option("-o", "--out", help="The folder that the pictures are written to.")
COUNT = typer.Option("-n", help="How many pictures.", min=1, max=10)
SEED = typer.Option(help="The same seed gives the same picture.")
SIZE = typer.Option(help="The side in pixels: 256, 512 or 1024.")


def generate(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What the pictures shall show.")],
    count: Annotated[int, COUNT] = 1,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, OUT] = Path("pictures"),
    size: Annotated[int, SIZE] = 256,
) -> None:
    """Generate images from a prompt.

    The champion paints; prompts and pictures pass the same policy as on the server.
    """
    from unclip_server.service import PictureRequest

    request = PictureRequest(prompt=prompt, seeds=tuple(range(seed, seed + count)), size=size)
    _generate(context, request, out)


def variations(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="A PNG, JPEG, WebP or GIF picture.")],
    count: Annotated[int, COUNT] = 1,
    seed: Annotated[int, SEED] = 0,
    out: Annotated[Path, OUT] = Path("pictures"),
    size: Annotated[int, SIZE] = 256,
) -> None:
    """Generate variations of an image.

    Its CLIP embedding takes the place of the prior's.
    """
    from unclip_orchestration import local_generation

    request = local_generation.variation_request(image, range(seed, seed + count), size)
    _generate(context, request, out)


def _generate(context: typer.Context, request: "PictureRequest", out: Path) -> None:
    from rich.console import Console

    from unclip_orchestration import local_generation
    from unclip_orchestration.progress import stages

    with stages(Console(stderr=True)) as progress:
        paths = local_generation.generate(context.obj, request, out, progress)
    for path in paths:
        typer.echo(path)

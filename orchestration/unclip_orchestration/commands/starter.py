"""Group `unclip starter`: the starter corpus and its planted web site."""

from typing import Annotated

import typer

group = typer.Typer(help="Build and serve the starter corpus: open pictures on a web site with planted defects.", no_args_is_help=True)


@group.command()
def build(
    context: typer.Context,
    size: Annotated[str, typer.Option(help="full or smoke, as for `unclip demo`.")] = "full",
) -> None:
    """Build the starter corpus: five emoji designs, rendered and captioned, as a web site with planted defects."""
    from rich.console import Console

    from unclip_orchestration.demo import SIZES
    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone, instance_at, run_job
    from unclip_pairs.errors import UserError

    if size not in SIZES:
        raise UserError(f"--size is {size!r}; choose one of {', '.join(SIZES)}")
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console(stderr=True)) as listener:
        run_job(instance, context.obj, "starter", config={"starter_site": {"size": size}}, listener=listener)


@group.command()
def serve(context: typer.Context, port: Annotated[int, typer.Option(help="The port on this machine; 0 takes any.")] = 8741) -> None:
    """Serve the starter site on this machine until you press Ctrl-C."""
    from unclip_pairs.home import open_store
    from unclip_starter.web import serve_planted_web

    serve_planted_web(
        open_store(context.obj.home), port, lambda seeds: typer.echo(f"the planted web is at {' and '.join(seeds)} (stop with Ctrl-C)")
    )

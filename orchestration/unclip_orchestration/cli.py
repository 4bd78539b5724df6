"""Command line `unclip`: it reads words, calls the rooms below and turns a user's mistake into one sentence.

Nothing heavy is imported before a command that needs it runs.
"""

import sys
from dataclasses import replace
from importlib.metadata import version
from typing import Annotated

import typer

from unclip_assets.settings import default_tracking_uri, read_environment
from unclip_orchestration.commands import data, dataset, faces, keys, label, leaks, model, pictures, policy, serve, starter
from unclip_orchestration.user_errors import is_interruption, mistake
from unclip_pairs.home import home_folder

DEMO_PORT = 8741  # the same in every run: an address is part of a pair's key

app = typer.Typer(
    name="unclip",
    help="An open DALL·E 2, whole: crawl, curate, make safe, train every stage, evaluate, release, generate and serve.\n\n"
    "Begin with `unclip demo`: it runs the whole story on this machine and says what to try next.",
    epilog="Everything is kept under $UNCLIP_HOME (default: ./var). Any command may be stopped at any moment and run again: "
    "what is finished is not done twice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def print_version(wanted: bool) -> None:
    """Prints the version and ends, when it is asked for."""
    if wanted:
        typer.echo(f"unclip {version('unclip')}")
        raise typer.Exit


@app.callback()
def unclip(
    context: typer.Context,
    home: Annotated[str, typer.Option(help="Where everything is kept, in place of $UNCLIP_HOME: a folder, or s3://BUCKET/PREFIX.")] = "",
    shown: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """What every command knows: the environment, read once."""
    environment = read_environment()
    if home:
        folder = home_folder(home)
        moved = environment.tracking_uri == default_tracking_uri(environment.home)
        environment = replace(environment, home=folder, tracking_uri=default_tracking_uri(folder) if moved else environment.tracking_uri)
    context.obj = environment


@app.command(rich_help_panel="Start here")
def demo(
    context: typer.Context,
    size: Annotated[
        str, typer.Option(help="full: more than 4,000 pictures, about half an hour on two cores; smoke: minutes, and no nice pictures.")
    ] = "full",
    port: Annotated[int, typer.Option(help="Where the demo's own web site listens; keep it the same when you run it again.")] = DEMO_PORT,
) -> None:
    """Run the whole story on this machine: crawl, curate, train, evaluate, promote and generate.

    What is done already is not done again.
    """
    from rich.console import Console

    from unclip_orchestration.demo import run

    run(context.obj, size, port, Console())


for command in (pictures.generate, pictures.variations):
    app.command(rich_help_panel="Pictures")(command)
for panel, groups in {
    "Data": {
        "starter": starter.group,
        "data": data.group,
        "policy": policy.group,
        "dataset": dataset.group,
        "leaks": leaks.group,
        "faces": faces.group,
        "label": label.group,
    },
    "Models": {"model": model.group},
    "Serving": {"serve": serve.group, "keys": keys.group},
}.items():
    for name, group in groups.items():
        app.add_typer(group, name=name, rich_help_panel=panel)


def main() -> None:
    """The entry point: a user's mistake is one sentence on standard error and exit code 2."""
    try:
        app()
    except SystemExit:
        raise
    except BaseException as error:
        if is_interruption(error):
            sys.stderr.write("unclip: stopped; run the same command again to go on\n")
            sys.exit(130)
        sentence = mistake(error)
        if sentence is None:
            raise
        sys.stderr.write(f"unclip: {sentence}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()

"""This file is the commands on labels: what people say of pictures, and the probes that learn from it."""

from pathlib import Path
from typing import Annotated

import typer

label = typer.Typer(
    help="Teach a category: define it, seed it, label in rounds, train a probe that a policy can name.", no_args_is_help=True
)
Category = Annotated[str, typer.Argument(help="The category, as its specification page is named.")]


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.add_typer(label, name="label", rich_help_panel="Labels")


@label.command()
def define(
    context: typer.Context, page: Annotated[Path, typer.Argument(help="The specification page (Markdown); its name is the category's.")]
) -> None:
    """Make a category, or change its wording; labels remember by which wording they were given."""
    from unclip_labels.book import open_labels
    from unclip_labels.specifications import read_specification
    from unclip_pairs.store import open_store

    specification = read_specification(page)
    open_labels(open_store(context.obj.home)).define(specification)
    typer.echo(f"{specification.category}: {specification.question} (wording {specification.digest})")


@label.command("import")
def import_seeds(
    context: typer.Context,
    category: Category,
    file: Annotated[Path, typer.Argument(help='JSON lines: {"key": "...", "label": "yes"}, with "rater" when one is known.')],
) -> None:
    """Take in labels that are known already."""
    from unclip_labels.book import open_labels
    from unclip_labels.exchange import read_seeds
    from unclip_pairs.errors import UserError
    from unclip_pairs.store import open_store

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the seeds {file} cannot be read ({error}); give the path of a file of JSON lines") from error
    typer.echo(f"{read_seeds(open_labels(open_store(context.obj.home)), category, text)} pictures labelled from {file}")


@label.command("export")
def export_labels(context: typer.Context, category: Category) -> None:
    """Print every label ever given, the withdrawn ones included, as JSON lines."""
    from unclip_labels.book import open_labels
    from unclip_labels.exchange import written
    from unclip_pairs.store import open_store

    book = open_labels(open_store(context.obj.home))
    book.specification(category)
    for line in written(book, category):
        typer.echo(line)


@label.command("serve")
def serve_page(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="The port; 0 takes any.")] = 8750,
    host: Annotated[str, typer.Option(help="The address to listen on; other machines reach it only if you say so.")] = "127.0.0.1",
    break_minutes: Annotated[float, typer.Option(help="A break is asked for after so many minutes without a pause.")] = 25,
    break_answers: Annotated[int, typer.Option(help="... or after so many answers.")] = 120,
) -> None:
    """Serve the labelling page until you press Ctrl-C; the link that is printed is the key to it."""
    from unclip_labels.raters import Pace
    from unclip_pairs.store import open_store
    from unclip_server.serve_labels import serve_labels

    serve_labels(open_store(context.obj.home), host, port, Pace(break_minutes, break_answers), typer.echo)

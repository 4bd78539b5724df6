"""Group `unclip label`: what people say of pictures, and the probes that learn from it."""

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(help="Label pictures in rounds and train a probe that a policy can name.", no_args_is_help=True)
Category = Annotated[str, typer.Argument(help="The category, as its specification page is named.")]


@group.command()
def define(
    context: typer.Context, page: Annotated[Path, typer.Argument(help="The specification page (Markdown); its name is the category's.")]
) -> None:
    """Define a category, or change its wording; labels remember by which wording they were given."""
    from unclip_labels.label_store import open_labels
    from unclip_labels.specifications import read_specification
    from unclip_pairs.home import open_store

    specification = read_specification(page)
    open_labels(open_store(context.obj.home)).define(specification)
    typer.echo(f"{specification.category}: {specification.question} (wording {specification.digest})")


@group.command("import")
def import_seeds(
    context: typer.Context,
    category: Category,
    file: Annotated[Path, typer.Argument(help='JSON lines: {"key": "...", "label": "yes"}, with "rater" when one is known.')],
) -> None:
    """Import labels."""
    from unclip_labels.import_export import read_seeds
    from unclip_labels.label_store import open_labels
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the seeds {file} cannot be read ({error}); give the path of a file of JSON lines") from error
    typer.echo(f"{read_seeds(open_labels(open_store(context.obj.home)), category, text)} pictures labelled from {file}")


@group.command("export")
def export_labels(context: typer.Context, category: Category) -> None:
    """Export every label ever given, the withdrawn ones included, as JSON lines."""
    from unclip_labels.import_export import written
    from unclip_labels.label_store import open_labels
    from unclip_pairs.home import open_store

    book = open_labels(open_store(context.obj.home))
    book.specification(category)
    for line in written(book, category):
        typer.echo(line)


@group.command("next")
def next_pictures(
    context: typer.Context,
    category: Category,
    count: Annotated[int, typer.Option(min=2, max=10_000, help="How many pictures to ask about.")] = 60,
    held_out: Annotated[float, typer.Option(min=0, max=1, help="The share of them that thresholds are chosen on; drawn at random.")] = 0.3,
    two_raters: Annotated[float, typer.Option(min=0, max=1, help="The share of them that two raters look at.")] = 0.2,
    kind: Annotated[str, typer.Option(help="The probe that is unsure: logistic or rbf.")] = "logistic",
) -> None:
    """Choose the pictures to label next.

    Seeds come first, then what a probe of the labels so far is unsure of.
    """
    from unclip_assets.pointers import present
    from unclip_labels.label_store import open_labels
    from unclip_labels.rounds import RoundSettings, next_round
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    ask = RoundSettings(count=count, held_out=held_out, two_raters=two_raters, kind=kind)
    found = next_round(store, open_labels(store), category, present(store, "clip_embeddings").name, ask)
    typer.echo(", ".join(f"{number} {why.replace('_', ' ')}" for why, number in found.asked.items()) + "; `unclip serve labels` shows them")


@group.command("train")
def train_probe(
    context: typer.Context,
    category: Category,
    kind: Annotated[str, typer.Option(help="logistic, or rbf for a support vector machine.")] = "logistic",
    recall: Annotated[float, typer.Option(help="The share of the category that held-out labels must show to be found.")] = 0.99,
) -> None:
    """Train a probe and choose its threshold on held-out labels.

    It is registered, and the lines that a policy needs to name it are printed.
    """
    from unclip_assets.pointers import present
    from unclip_curation.scorers.probes import score_probes
    from unclip_labels.label_store import open_labels
    from unclip_labels.rounds import train
    from unclip_pairs.home import open_store
    from unclip_release.probes import register_probe
    from unclip_release.registry import open_registry

    store = open_store(context.obj.home)
    embeddings = present(store, "clip_embeddings").name
    made = train(store, open_labels(store), category, embeddings, kind, recall)
    number = register_probe(open_registry(store, context.obj.tracking_uri), made.probe.folder, made.manifest, made.figures)
    score_probes(store, embeddings)
    typer.echo("\n".join(made.sentences))
    typer.echo(f"registered as models:/{made.probe.category}_probe/{number}; its plot is {store.path(made.probe.folder)}/reliability.png")
    typer.echo(f"in a policy: probes: {{{category}: {{probe: '{made.probe.version}', threshold: {made.threshold.value:.6g}}}}}")


@group.command("score")
def score_pairs(context: typer.Context) -> None:
    """Score the present embeddings by every known probe; needed after new pictures or a new CLIP."""
    from unclip_assets.pointers import present
    from unclip_curation.scorers.probes import score_probes
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    typer.echo(f"{score_probes(store, present(store, 'clip_embeddings').name).counts['rows']:,} scores")


@group.command("report")
def report_category(context: typer.Context, category: Category) -> None:
    """Show labelling progress.

    It names answers, agreement, disputes, and the category's probes with their thresholds.
    """
    from unclip_labels.label_store import open_labels
    from unclip_labels.rounds import standing
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    for line in standing(store, open_labels(store), category):
        typer.echo(line)

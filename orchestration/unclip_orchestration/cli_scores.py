"""This file is the commands that measure pairs by hand: `unclip score` and `unclip embed`."""

from typing import Annotated

import typer

PANEL = "Data"


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.command(rich_help_panel=PANEL)(score)
    app.command(rich_help_panel=PANEL)(embed)


def score(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Scorers, as --list names them.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--list", help="Name every scorer, its version, what it costs and what it measures.")] = False,
    batch: Annotated[list[str] | None, typer.Option(help="A crawl batch; may be given several times. All finished ones otherwise.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that score.", min=1)] = 2,
) -> None:
    """Measure pairs by the named scorers; rows that the same version has measured are not measured twice."""
    from unclip_curation import scorers
    from unclip_curation.scoring import batches
    from unclip_orchestration.running import alone
    from unclip_pairs.errors import UserError
    from unclip_pairs.store import open_store

    if every:
        for scorer in scorers.SCORERS.values():
            typer.echo(f"{scorer.name:<12} version {scorer.version}  {scorer.cost:<18} {scorer.about}")
        return
    if not names:
        raise UserError(f"no scorer is named; give one or more of {', '.join(scorers.SCORERS)}")
    store = open_store(context.obj.home)
    with alone(context.obj.home):
        for one in batch or batches(store):
            for name, manifest in zip(names, scorers.score(store, one, names, workers), strict=True):
                typer.echo(f"{one}: {name} has {manifest.counts['rows']:,} rows")


def embed(
    context: typer.Context,
    clip: Annotated[str, typer.Option(help="open_clip:MODEL/WEIGHTS, with a file on this machine, or the folder of a CLIP run of ours.")],
    batch: Annotated[list[str] | None, typer.Option(help="A crawl batch; may be given several times. All finished ones otherwise.")] = None,
) -> None:
    """Embed what the safety stage keeps by another CLIP; the vectors lie beside those the trainings use, which stay as they are."""
    from unclip_curation.embed import embed_pairs, embedding_folder
    from unclip_curation.scoring import batches
    from unclip_orchestration.running import alone
    from unclip_pairs.store import open_store
    from unclip_training.open_clip_embedder import OpenClipEmbedder, open_embedder

    store, embedder = open_store(context.obj.home), open_embedder(clip)
    prepare, workers = (embedder.prepare, embedder.share_cores()) if isinstance(embedder, OpenClipEmbedder) else (None, 1)
    with alone(context.obj.home):
        for one in batch or batches(store):
            manifest = embed_pairs(store, one, embedder, prepare=prepare, workers=workers)
            typer.echo(f"{one}: {manifest.counts['rows']:,} pairs in {store.path(embedding_folder(embedder))}")

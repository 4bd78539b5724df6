"""Commands that measure and decide, on any engine: score, embed and curate."""

from typing import TYPE_CHECKING, Annotated

import typer

from unclip_orchestration.commands.options import PolicyFile, chosen_policy

if TYPE_CHECKING:
    from unclip_curation.engines.processes import Engine

EngineName = Annotated[str | None, typer.Option(help="local: processes on this machine; ray: a Ray cluster. $UNCLIP_ENGINE, else local.")]
RayAddress = Annotated[
    str | None, typer.Option(help="The cluster's head (host:port), auto, or local. $UNCLIP_RAY_ADDRESS, else local: one is started here.")
]
Workers = Annotated[int | None, typer.Option(help="How many work side by side: 2 processes, or as many actors as fit.", min=1)]


def _engine(context: typer.Context, name: str | None, address: str | None, workers: int | None) -> "Engine":
    """The engine that the options name, or the environment."""
    from unclip_curation.engines.ray import open_engine

    return open_engine(name or context.obj.engine, workers, address or context.obj.ray_address)


def score(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Scorers, as --list names them.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--list", help="Name every scorer, its version, what it costs and what it measures.")] = False,
    batch: Annotated[list[str] | None, typer.Option(help="A crawl batch; may be given several times. All finished ones otherwise.")] = None,
    workers: Workers = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
) -> None:
    """Score pairs by the named scorers.

    Rows that the same version has measured are not measured twice; `--list` names the scorers.
    """
    from unclip_curation.features import batches
    from unclip_curation.scorers import registry
    from unclip_orchestration.running import alone
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    if every:
        width = max(map(len, registry.SCORERS))
        for scorer in registry.SCORERS.values():
            typer.echo(f"{scorer.name:<{width}} version {scorer.version}  {scorer.cost:<18} {scorer.about}")
        return
    if not names:
        raise UserError(f"no scorer is named; give one or more of {', '.join(registry.SCORERS)}")
    store, where = open_store(context.obj.home), _engine(context, engine, ray_address, workers)
    with alone(context.obj.home):
        for one in batch or batches(store):
            for name, manifest in zip(names, registry.score(store, one, names, where), strict=True):
                typer.echo(f"{one}: {name} has {manifest.counts['rows']:,} rows")


def embed(
    context: typer.Context,
    clip: Annotated[str, typer.Option(help="open_clip:MODEL/WEIGHTS, with a file on this machine, or the folder of a CLIP run of ours.")],
    batch: Annotated[list[str] | None, typer.Option(help="A crawl batch; may be given several times. All finished ones otherwise.")] = None,
    workers: Workers = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    precision: Annotated[
        str,
        typer.Option(help="The format an open_clip network multiplies in: auto (bf16 where the processor is fast at it), bf16, float32."),
    ] = "auto",
) -> None:
    """Embed what the safety stage keeps by any CLIP.

    The vectors lie beside those that the trainings use, which stay as they are.
    """
    from functools import partial

    from unclip_curation.embeddings.embedding import embed_on, embed_pairs, embedding_folder
    from unclip_curation.features import batches
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store
    from unclip_training.open_clip_embedder import OpenClipEmbedder, load_embedder
    from unclip_training.precision import named, resolved

    # resolved here, so that every machine of a cluster multiplies alike
    store, load = open_store(context.obj.home), partial(load_embedder, clip, resolved(named(precision)))
    elsewhere = _engine(context, engine, ray_address, workers) if (engine or context.obj.engine) == "ray" else None
    embedder, prepare = load()
    threads = workers or (embedder.share_cores() if isinstance(embedder, OpenClipEmbedder) else 1)
    with alone(context.obj.home):
        for one in batch or batches(store):
            if elsewhere is not None:
                manifest = embed_on(elsewhere, store, one, load)
            else:
                manifest = embed_pairs(store, one, embedder, prepare=prepare, workers=threads)
            typer.echo(f"{one}: {manifest.counts['rows']:,} pairs in {store.path(embedding_folder(embedder))}")


def curate(
    context: typer.Context,
    policy: PolicyFile = None,
    clip: Annotated[
        str | None,
        typer.Option(help="Embed by this CLIP, as `unclip data embed` names it; likeness is judged by hashes alone when left out."),
    ] = None,
    workers: Workers = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
) -> None:
    """Score, decide, embed and de-duplicate all that was crawled.

    It ends with the final verdicts; only what is missing is done, and nothing is trained. The engines
    give the same verdicts, bit by bit; one may go on where the other was stopped.
    """
    from functools import partial

    from rich.console import Console

    from unclip_curation.pipeline import curate as run
    from unclip_orchestration.progress import steps
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store

    load = None
    if clip is not None:
        from unclip_training.open_clip_embedder import load_embedder

        load = partial(load_embedder, clip)
    store, where = open_store(context.obj.home), _engine(context, engine, ray_address, workers)
    with alone(context.obj.home), steps(Console(stderr=True)) as step:
        manifest = run(store, chosen_policy(context, policy), where, load, step)
    for reason, count in sorted(manifest.counts.items(), key=lambda item: -item[1]):
        typer.echo(f"{count:>10,}  {reason}")

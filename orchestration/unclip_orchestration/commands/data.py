"""Commands on data: the starter corpus, crawls and verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip_orchestration.commands.pack import pack
from unclip_orchestration.commands.pairs import pairs, place_of
from unclip_orchestration.commands.policy import policy, reweight

if TYPE_CHECKING:
    from unclip_pairs.store import Store

PANEL = "Data"
starter = typer.Typer(help="The starter corpus: openly licensed pictures and a web site with planted defects.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """The commands of this file become commands of `unclip`."""
    app.add_typer(starter, name="starter", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(crawl)
    app.add_typer(pairs, name="pairs", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(verdicts)
    app.add_typer(policy, name="policy", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(reweight)
    app.command(rich_help_panel=PANEL)(pack)


@starter.command()
def build(
    context: typer.Context,
    size: Annotated[str, typer.Option(help="full or smoke, as for `unclip demo`.")] = "full",
) -> None:
    """Pack five emoji designs from npm, render and caption them, and lay them out as a web site with planted defects."""
    from rich.console import Console

    from unclip_orchestration.demo import STORIES
    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone, instance_at, run_job
    from unclip_pairs.errors import UserError

    if size not in STORIES:
        raise UserError(f"--size is {size!r}; choose one of {', '.join(STORIES)}")
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console()) as listener:
        run_job(instance, context.obj, "starter", config={"starter_site": {"size": size}}, listener=listener)


@starter.command()
def serve(context: typer.Context, port: Annotated[int, typer.Option(help="The port on this machine; 0 takes any.")] = 8741) -> None:
    """Publish the starter site on this machine until you press Ctrl-C."""
    from unclip_pairs.home import open_store
    from unclip_starter.web import serve_planted_web

    serve_planted_web(
        open_store(context.obj.home), port, lambda seeds: typer.echo(f"the planted web is at {' and '.join(seeds)} (stop with Ctrl-C)")
    )


def crawl(
    context: typer.Context,
    batch: Annotated[str, typer.Option(help="The batch's name; the same name again goes on where it stopped.")],
    contact: Annotated[str, typer.Option(help="Your e-mail or web address: the owners of crawled sites must be able to find you.")] = "",
    seed: Annotated[list[str] | None, typer.Option(help="A page to begin from; its host is crawled. May be given several times.")] = None,
    url_list: Annotated[list[Path] | None, typer.Option("--list", help="A list of addresses with captions: parquet, csv or jsonl.")] = None,
    folder: Annotated[list[Path] | None, typer.Option(help="A folder of pictures on this machine.")] = None,
    archive: Annotated[
        list[str] | None, typer.Option(help="A WARC or WAT file (path, http(s) or s3 address): the pictures of its pages are fetched.")
    ] = None,
    sitemap: Annotated[list[str] | None, typer.Option(help="A sitemap's address, or that of a robots.txt that names some.")] = None,
    shard: Annotated[list[str] | None, typer.Option(help="A tar of pictures by img2dataset or WebDataset; nothing is fetched.")] = None,
    s3_endpoint: Annotated[str, typer.Option(help="Where S3 is, when it is not Amazon's.")] = "",
    allow_loopback: Annotated[bool, typer.Option(help="Let the crawler reach this machine itself.")] = False,
    delay: Annotated[float, typer.Option(help="Seconds between two requests to one host.")] = 1.0,
    hash_list: Annotated[Path | None, typer.Option(help="Your file of known-illegal hashes: what is on it is never stored.")] = None,
) -> None:
    """Fetch pictures with their captions from sites, sitemaps, lists, web archives, folders or other tools' shards into shards.

    Robots.txt and opt-outs are obeyed. To look at a web archive first, list its pairs: `unclip pairs extract FILE -o pairs.parquet`.
    """
    from rich.console import Console

    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone, instance_at, run_job

    places = {
        "contact": contact,
        "seeds": seed or [],
        "lists": [str(path.absolute()) for path in url_list or []],
        "folders": [str(path.absolute()) for path in folder or []],
        "archives": [place_of(address) for address in archive or []],
        "sitemaps": sitemap or [],
        "shards": [place_of(address) for address in shard or []],
        "s3_endpoint": s3_endpoint,
        "allow_loopback": allow_loopback,
        "delay_s": delay,
        "hash_list": str(hash_list.absolute()) if hash_list else "",
    }
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console()) as listener:
        run_job(instance, context.obj, "crawl", config={"page_sources": places}, batch=batch, listener=listener)


def verdicts(
    context: typer.Context,
    why: Annotated[str | None, typer.Option(help="The key of a pair: say what was measured and why it was kept or not.")] = None,
    stage: Annotated[str, typer.Option(help="rule, safety, duplicate or final.")] = "final",
    check: Annotated[bool, typer.Option("--check", help="Make every verdict again from what its manifest names, and compare.")] = False,
) -> None:
    """Count what was kept and what was not, by reason; explain one pair with --why KEY; or prove them all with --check."""
    from unclip_curation.decisions.explain import explain
    from unclip_curation.decisions.verdicts import counts
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    if why is not None:
        typer.echo(explain(store, why))
        return
    if check:
        _prove(store, stage)
        return
    for reason, count in sorted(counts(store, stage).items(), key=lambda item: -item[1]):
        typer.echo(f"{count:>10,}  {reason}")


def _prove(store: "Store", stage: str) -> None:
    """Prints whether all verdicts came out the same; exit code 1 when not."""
    from unclip_curation.decisions.reproduce import reproduce

    found = reproduce(store, stage)
    for objection in found.objections:
        typer.echo(objection)
    if found.objections:
        raise typer.Exit(1)
    measured = ", ".join(f"{scorer} {version}" for scorer, version in found.measured.items())
    typer.echo(
        f"{found.rows:,} verdicts of the stage {stage} came out the same, made again by policy {found.policy_version} from {measured}"
    )

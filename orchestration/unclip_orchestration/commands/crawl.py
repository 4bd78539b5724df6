"""Commands that collect pairs: crawl pictures, or list the pairs of web archives without fetching any."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def place_of(address: str) -> str:
    """A path made absolute; http(s) and s3 addresses as they are."""
    from unclip_crawl.addresses import is_remote

    return address if is_remote(address) else str(Path(address).expanduser().absolute())


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
    """Fetch pictures with their captions into shards.

    They come from sites, sitemaps, lists, web archives, folders or other tools' shards. Robots.txt and opt-outs are obeyed. To look at a
    web archive first, list its pairs: `unclip data extract FILE -o pairs.parquet`.
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
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console(stderr=True)) as listener:
        run_job(instance, context.obj, "crawl", config={"page_sources": places}, batch=batch, listener=listener)


def extract(
    archive: Annotated[list[str], typer.Argument(help="WARC or WAT files: paths, http(s):// or s3:// addresses.", metavar="FILE...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet list to write; it must not be there yet.")],
    user_agent: Annotated[
        str, typer.Option(help="Your crawler's product/version: opt-outs addressed to it are obeyed.")
    ] = "unclip-crawler/0.1",
    s3_endpoint: Annotated[str, typer.Option(help="Where S3 is, when it is not Amazon's.")] = "",
) -> None:
    """List the pairs of web archives in a Parquet file; fetch no picture.

    Each picture stands with its captions, language, licence and opt-out. The list goes into a crawl with `unclip data crawl --list`; what
    a page forbade stays forbidden there. Damaged archives give what can be read, and say what was wrong.

    Example: `unclip data extract CC-MAIN-20260101-00000.warc.wat.gz -o pairs.parquet`
    """
    from unclip_crawl.archives.extract import extract as extracted
    from unclip_crawl.sources.streams import Access

    access = Access(user_agent=user_agent, s3_endpoint=s3_endpoint)
    with _bar() as (bar, task):

        def report(done: int, total: int | None, message: str = "") -> None:
            bar.update(task, completed=done, total=total, description=message)

        tallies = extracted(archive, out, access, progress=report)
    for address, tally in tallies.items():
        typer.echo(f"{address}: {tally.summary()}; {tally.opted_out} pages opt out, {tally.embedded} pictures inside pages left out")
    typer.echo(f"{sum(tally.pairs for tally in tallies.values()):,} pairs in {out}")


@contextmanager
def _bar() -> "Iterator[tuple[Progress, TaskID]]":
    """A progress bar in bytes on a terminal, nothing elsewhere; and its task."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(24), DownloadColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=None)

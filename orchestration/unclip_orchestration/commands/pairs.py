"""Commands on pairs that are not fetched yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

pairs = typer.Typer(help="Lists of image-text pairs, before anything is fetched.", no_args_is_help=True)


def place_of(address: str) -> str:
    """A path made absolute; http(s) and s3 addresses as they are."""
    from unclip_crawl.sources.streams import is_remote

    return address if is_remote(address) else str(Path(address).expanduser().absolute())


@pairs.callback()
def group() -> None:
    """Lists of image-text pairs, before anything is fetched."""


@pairs.command()
def extract(
    archive: Annotated[list[str], typer.Argument(help="WARC or WAT files: paths, http(s):// or s3:// addresses.", metavar="FILE...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet list to write; it must not be there yet.")],
    user_agent: Annotated[
        str, typer.Option(help="Your crawler's product/version: opt-outs addressed to it are heard.")
    ] = "unclip-crawler/0.1",
    s3_endpoint: Annotated[str, typer.Option(help="Where S3 is, when it is not Amazon's.")] = "",
) -> None:
    """Write every picture that web archives show, with its captions, language, licence and opt-out, to a list; fetch no picture.

    The list goes into a crawl with `unclip crawl --list`; what a page forbade stays forbidden there. Damaged archives give what can be
    read, and say what was wrong.

    Example: `unclip pairs extract CC-MAIN-20260101-00000.warc.wat.gz -o pairs.parquet`
    """
    from unclip_crawl.archives.extract import extract as extracted
    from unclip_crawl.sources.streams import Access

    access = Access(user_agent=user_agent, s3_endpoint=s3_endpoint)
    with _bar() as (bar, task):

        def report(done: int, total: int | None, message: str = "") -> None:
            bar.update(task, completed=done, total=total, description=message)

        tallies = extracted(archive, out, access, progress=report)
    for address, tally in tallies.items():
        typer.echo(f"{address}: {tally.told()}; {tally.opted_out} pages opt out, {tally.embedded} pictures inside pages left out")
    typer.echo(f"{sum(tally.pairs for tally in tallies.values()):,} pairs in {out}")


@contextmanager
def _bar() -> Iterator[tuple[Any, Any]]:
    """A progress bar in bytes on a terminal, nothing elsewhere; and its task."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(24), DownloadColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=None)

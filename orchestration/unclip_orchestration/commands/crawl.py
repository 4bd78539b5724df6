"""Commands that collect pairs: crawl pictures, or list the pairs of web archives without fetching any."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip_crawl.consent import USER_AGENT
from unclip_crawl.options import Option, options, with_absolute_paths

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def crawl(context: typer.Context, **given: object) -> None:
    """Fetch pictures with their captions into shards.

    They come from sites, sitemaps, lists, web archives, folders or other tools' shards. Robots.txt and opt-outs are obeyed. To look at a
    web archive first, list its pairs: `unclip data extract FILE -o pairs.parquet`.
    """
    from rich.console import Console

    from unclip_orchestration.progress import lines
    from unclip_orchestration.running import alone, instance_at, run_job

    batch = str(given.pop("batch"))
    config = {name: value for name, value in with_absolute_paths(given).items() if value is not None}
    with alone(context.obj.home), instance_at(context.obj.home) as instance, lines(Console(stderr=True)) as listener:
        run_job(instance, context.obj, "crawl", config={"page_sources": config}, batch=batch, listener=listener)


def _parameter(option: Option) -> Parameter:
    """A setting as a parameter that typer makes an option of; None when it is not given, the batch always is."""
    kind = list[str] if option.is_several else option.kind
    flag = f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag
    info = typer.Option(flag, help=option.flag_help, rich_help_panel=option.note.group or None, show_default=False)
    if option.name == "batch":
        return Parameter(option.name, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info])


context_parameter = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
# one option for each field of CrawlSettings: typer reads them from the signature
crawl.__dict__["__signature__"] = Signature([context_parameter, *map(_parameter, options())])


def extract(
    archive: Annotated[list[str], typer.Argument(help="WARC or WAT files: paths, http(s):// or s3:// addresses.", metavar="FILE...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet list to write; it must not be there yet.")],
    user_agent: Annotated[str, typer.Option(help="Your crawler's product/version: opt-outs addressed to it are obeyed.")] = USER_AGENT,
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

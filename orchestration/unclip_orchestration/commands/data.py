"""Group `unclip data`: from pages and files to decided, searchable pairs."""

import typer

from unclip_orchestration.commands.crawl import crawl, extract
from unclip_orchestration.commands.inspection import duplicates, search, verdicts
from unclip_orchestration.commands.scoring import curate, embed, score
from unclip_orchestration.commands.takedown import takedown

group = typer.Typer(help="Crawl, score, curate and search image-text pairs.", no_args_is_help=True)

for command in (crawl, extract, score, curate, embed, verdicts, duplicates, search, takedown):
    group.command()(command)

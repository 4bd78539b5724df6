"""Command that takes pairs back: out of search at once, out of the next dataset version."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip_pairs.takedowns import Takedown


def takedown(
    context: typer.Context,
    url: Annotated[list[str] | None, typer.Option(help="The address of a picture; exact copies from elsewhere go too.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="The key of a pair.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Everything from a host and the hosts below it.")] = None,
    digest: Annotated[list[str] | None, typer.Option("--hash", help="The SHA-256 of a picture's bytes.")] = None,
    reason: Annotated[str, typer.Option(help="Why, in the words of the request.")] = "",
    requested_by: Annotated[str, typer.Option(help="Who asked.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Say what would happen; record nothing.")] = False,
    shown: Annotated[bool, typer.Option("--list", help="List the requests made so far.")] = False,
) -> None:
    """Take pictures back and say which models learned from them.

    They are gone from search at once, from the next dataset version, and are never fetched again. Each option may be given several times.
    """
    from unclip_curation.decisions.takedown_effects import meant_by
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store
    from unclip_pairs.takedowns import read_takedowns

    store = open_store(context.obj.home)
    if shown:
        for made in read_takedowns(store).requests:
            who = f" for {made.requested_by}" if made.requested_by else ""
            typer.echo(f"{made.created}  {made.kind} {made.value}  {len(made.keys)} pairs{who}{': ' + made.reason if made.reason else ''}")
        return
    asked = [(kind, value) for kind, values in (("url", url), ("key", key), ("host", host), ("hash", digest)) for value in values or []]
    if not asked:
        raise UserError("nothing was named; give --url, --key, --host or --hash, or --list to see what was taken down")
    typer.echo("\n".join(_carried_out(context, [meant_by(store, kind, value, reason, requested_by) for kind, value in asked], dry_run)))


def _carried_out(context: typer.Context, requests: "list[Takedown]", dry_run: bool) -> list[str]:
    """Records the requests unless it is a trial; gives what there is to say."""
    from unclip_curation.decisions.takedown_effects import remaining_files
    from unclip_pairs.home import open_store
    from unclip_pairs.takedowns import record
    from unclip_release.learned import learned_from
    from unclip_release.registry import open_registry

    store, keys = open_store(context.obj.home), {key for request in requests for key in request.keys}
    learned = learned_from(store, open_registry(store, context.obj.tracking_uri), keys) if keys else []
    if not dry_run:
        for request in requests:
            record(store, replace(request, learned=tuple(learned)))
    lines = [f"{request.kind} {request.value}: {len(request.keys)} pairs" for request in requests]
    lines += [f"learned from them: {line}" for line in learned] or ["nothing here learned from them"]
    lines += [f"their bytes still lie in {store}/{name}" for name in (remaining_files(store, keys) if keys else [])]
    done = "gone from search; the next dataset version leaves them out, and no crawl of this home fetches them again"
    return [*lines, "this was a trial; nothing is recorded" if dry_run else done]

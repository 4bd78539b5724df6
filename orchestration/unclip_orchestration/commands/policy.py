"""Group `unclip policy`: compare two policies, or the values of one threshold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip_orchestration.commands.options import PolicyFile, chosen_policy, policy_at, write_page

if TYPE_CHECKING:
    from unclip_pairs.store import Store

BAR = 30  # characters of the longest bar
group = typer.Typer(help="Compare policies: which pairs they keep, and what a threshold costs.", no_args_is_help=True)
Stage = Annotated[str, typer.Option(help="rule, safety, duplicate or final; the later ones need scores of all rows that come in.")]


@group.command()
def diff(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="A policy file; 'default' is the one that ships.")],
    after: Annotated[Path, typer.Argument(help="Another policy file.")],
    stage: Stage = "rule",
) -> None:
    """Show which pairs would come and go between two policies.

    They are counted by reason. A page with their words and some of their pictures is written to HOME/reports.
    """
    from unclip_curation.decisions.policy_diff import policy_diff
    from unclip_curation.reports.policy_pages import diff_page
    from unclip_pairs.home import open_store

    store, policies = open_store(context.obj.home), [policy_at(path) for path in (before, after)]
    found = policy_diff(store, *policies, stage=stage, embeddings=_embeddings(store, stage))
    typer.echo(f"kept: {found.kept_a:,} before, {found.kept_b:,} after")
    for sign, moved in (("+", found.came), ("-", found.went)):
        for reason, keys in sorted(moved.items()):
            typer.echo(f"{sign}{len(keys):>8,}  {reason}  {' '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}")
    write_page(store, f"policy-diff-{policies[0].version}-{policies[1].version}", diff_page(store, found, before.stem, after.stem))


@group.command()
def sweep(
    context: typer.Context,
    field: Annotated[str, typer.Argument(help="A threshold of the policy, for instance min_side.")],
    low: Annotated[float, typer.Argument(help="Its first value.")],
    high: Annotated[float, typer.Argument(help="Its last value.")],
    steps: Annotated[int, typer.Option(help="How many values from first to last.", min=2, max=1000)] = 11,
    policy: PolicyFile = None,
    stage: Stage = "rule",
) -> None:
    """Decide once for each of several values of one threshold.

    Shows how many pairs stay, and how much of what was planted is found.
    """
    from rich.console import Console
    from rich.progress import track

    from unclip_curation.decisions.policy_diff import policy_sweep, telling
    from unclip_curation.reports.policy_pages import sweep_page
    from unclip_pairs.home import open_store

    store, chosen = open_store(context.obj.home), chosen_policy(context, policy)
    values = [low + (high - low) * i / (steps - 1) for i in range(steps)]
    found = policy_sweep(store, chosen, field, values, stage, _embeddings(store, stage))
    seen = list(track(found, "deciding", total=steps, console=Console(stderr=True), transient=True))
    typer.echo(f"{field:>22}  {'kept':>10}" + "".join(f"  {name:>20}" for name in telling(seen)))
    most = max(1, *(step.kept for step in seen))
    for step in seen:
        figures = "".join(f"  {step.recall[name]:>20.3f}" for name in telling(seen))
        typer.echo(f"{step.value:>22.6g}  {step.kept:>10,}{figures}  {'█' * round(BAR * step.kept / most)}")
    write_page(store, f"policy-sweep-{field}", sweep_page(field, chosen.number(field), seen))


def _embeddings(store: "Store", stage: str) -> str | None:
    """The folder of embeddings that the final stage last read."""
    from unclip_curation.decisions.verdicts import embeddings_of
    from unclip_pairs.manifest import read_manifest

    manifest = read_manifest(store, "verdicts/final.json") if stage == "final" else None
    return embeddings_of(manifest) if manifest else None

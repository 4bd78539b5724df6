"""Commands on policies: compare two of them, or one threshold with itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip_pairs.store import Store

BAR = 30  # characters of the longest bar
policy = typer.Typer(help="What may be learned: thresholds in one file, decisions in SQL.", no_args_is_help=True)
Stage = Annotated[str, typer.Option(help="rule, safety, duplicate or final; the later ones need scores of all rows that come in.")]


@policy.command()
def diff(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="A policy file; 'default' is the one that ships.")],
    after: Annotated[Path, typer.Argument(help="Another policy file.")],
    stage: Stage = "rule",
) -> None:
    """Show which pairs would come and which would go, by reason, if the second policy took the first one's place.

    A page with their words and some of their pictures is written to HOME/reports.
    """
    from unclip_curation.decisions.policy_diff import policy_diff
    from unclip_curation.policy import load_policy
    from unclip_curation.reports.policy_pages import diff_page
    from unclip_pairs.home import open_store

    store, policies = open_store(context.obj.home), [load_policy(_file(path)) for path in (before, after)]
    found = policy_diff(store, *policies, stage=stage, embeddings=_embeddings(store, stage))
    typer.echo(f"kept: {found.kept_a:,} before, {found.kept_b:,} after")
    for sign, moved in (("+", found.came), ("-", found.went)):
        for reason, keys in sorted(moved.items()):
            typer.echo(f"{sign}{len(keys):>8,}  {reason}  {' '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}")
    _write(store, f"policy-diff-{policies[0].version}-{policies[1].version}", diff_page(store, found, before.stem, after.stem))


@policy.command()
def sweep(
    context: typer.Context,
    field: Annotated[str, typer.Argument(help="A threshold of the policy, for instance min_side.")],
    low: Annotated[float, typer.Argument(help="Its first value.")],
    high: Annotated[float, typer.Argument(help="Its last value.")],
    steps: Annotated[int, typer.Option(help="How many values from first to last.", min=2, max=1000)] = 11,
    of: Annotated[Path, typer.Option("--policy", help="The policy file; 'default' is the one that ships.")] = Path("default"),
    stage: Stage = "rule",
) -> None:
    """Decide once for each of several values of one threshold: how many pairs stay, and how much of what was planted is found."""
    from rich.console import Console
    from rich.progress import track

    from unclip_curation.decisions.policy_diff import policy_sweep, telling
    from unclip_curation.policy import load_policy
    from unclip_curation.reports.policy_pages import sweep_page
    from unclip_pairs.home import open_store

    store, chosen = open_store(context.obj.home), load_policy(_file(of))
    values = [low + (high - low) * i / (steps - 1) for i in range(steps)]
    found = policy_sweep(store, chosen, field, values, stage, _embeddings(store, stage))
    seen = list(track(found, "deciding", total=steps, console=Console(stderr=True), transient=True))
    typer.echo(f"{field:>22}  {'kept':>10}" + "".join(f"  {name:>20}" for name in telling(seen)))
    most = max(1, *(step.kept for step in seen))
    for step in seen:
        figures = "".join(f"  {step.recall[name]:>20.3f}" for name in telling(seen))
        typer.echo(f"{step.value:>22.6g}  {step.kept:>10,}{figures}  {'█' * round(BAR * step.kept / most)}")
    _write(store, f"policy-sweep-{field}", sweep_page(field, chosen.settings[field], seen))


def reweight(
    context: typer.Context,
    before: Annotated[str, typer.Option(help="The stage whose mix is restored.")] = "rule",
    after: Annotated[str, typer.Option(help="The stage whose rows are weighed.")] = "safety",
    embeddings: Annotated[str | None, typer.Option(help="A folder under HOME/embeddings; captions alone when left out.")] = None,
) -> None:
    """Weigh what a filter left so that it has the mix of what came in; a policy with `reweigh: true` uses the weights.

    A page with words and concepts before the filter, after it and reweighted is written to HOME/reports.
    """
    from unclip_curation.decisions import reweighting
    from unclip_curation.reports.policy_pages import mix_page
    from unclip_pairs.home import open_store

    store = open_store(context.obj.home)
    counts = reweighting.reweight(store, before, after, embeddings).counts
    typer.echo(
        f"{counts['rows']:,} pairs are weighed and count as {counts['effective_rows']:,.0f} (area under the curve {counts['auc']:.3f})"
    )
    for share in reweighting.mix_report(store)["words"][:10]:
        typer.echo(f"{share.word:>20}  before {share.before:7.2%}  after {share.after:7.2%}  reweighted {share.restored:7.2%}")
    _write(store, "reweighting", mix_page(store))


def _file(path: Path) -> Path | None:
    return None if str(path) == "default" else path


def _embeddings(store: "Store", stage: str) -> str | None:
    """The folder of embeddings that the final stage last read."""
    from unclip_curation.decisions.verdicts import embeddings_of
    from unclip_pairs.manifest import read_manifest

    manifest = read_manifest(store, "verdicts/final.json") if stage == "final" else None
    return embeddings_of(manifest) if manifest else None


def _write(store: "Store", name: str, page: str) -> None:
    with store.writing(f"reports/{name}.html") as part:
        part.write_text(page, "utf-8")
    typer.echo(f"look at {store.path(f'reports/{name}.html')}")

"""Group `unclip dataset`: build, weigh, list and copy immutable dataset versions."""

from typing import Annotated

import typer

from unclip_orchestration.commands.options import PolicyFile, chosen_policy, write_page

group = typer.Typer(help="Build, copy and list immutable dataset versions.", no_args_is_help=True)


@group.command()
def build(
    context: typer.Context,
    policy: PolicyFile = None,
) -> None:
    """Build an immutable dataset version of what the final stage keeps.

    It holds shards, embeddings, weights, manifest and data card, and becomes the present set, the one that `unclip model train` learns
    from. The same verdicts give the same version.
    """
    from unclip_curation.decisions.ground_truth import starter_labels
    from unclip_curation.publishing.publish import decided_embeddings, publish
    from unclip_orchestration.running import alone
    from unclip_pairs.home import open_store
    from unclip_pairs.pointers import point

    store, chosen = open_store(context.obj.home), chosen_policy(context, policy)
    with alone(context.obj.home):
        manifest = publish(store, chosen, starter_labels(store), decided_embeddings(store))
        version = str(manifest.settings["version"])
        point(store, "training_shards", version, manifest.digest)
    counts = ", ".join(f"{count:,} {split.replace('_', ' ')}" for split, count in manifest.counts.items())
    typer.echo(f"{version}: {counts}; read {store.folder(f'datasets/{version}')}/card.md")


@group.command()
def push(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="Where to: s3://BUCKET/PREFIX (with ?endpoint=URL where needed), or a folder.")],
    version: Annotated[str, typer.Argument(help="The version; the newest when left out.")] = "",
) -> None:
    """Copy a dataset version to a bucket or folder.

    Readers there see it whole or not at all. Run it again to go on after a stop.
    """
    from unclip_curation.publishing.versions import copy_version, latest
    from unclip_pairs.home import open_store

    def report(done: int, total: int | None, message: str = "") -> None:
        typer.echo(f"{done + 1} of {total}: {message}", err=True)

    target = open_store(to)
    manifest = copy_version(open_store(context.obj.home), version, target, report)
    typer.echo(f"{latest(target)} is in {target}: {sum(manifest.counts.values()):,} pairs, manifest {manifest.digest[:12]}")


@group.command("list")
def list_versions(
    context: typer.Context,
    at: Annotated[str, typer.Option(help="Another place than the home: a folder, or s3://BUCKET/PREFIX.")] = "",
) -> None:
    """List the dataset versions, oldest first: name, time, pairs by split, digest of the manifest."""
    from unclip_curation.publishing.versions import latest, versions
    from unclip_pairs.home import open_store

    store = open_store(at or context.obj.home)
    current = latest(store)
    found = versions(store)
    for version in found:
        splits = ", ".join(f"{count:,} {split}" for split, count in sorted(version.manifest.counts.items(), reverse=True))
        mark = "  latest" if version.name == current else ""
        typer.echo(f"{version.name}  {version.manifest.created}  {splits}  {version.manifest.digest[:12]}{mark}")
    if not found:
        typer.echo(f"there is no dataset version in {store} yet; `unclip dataset build` makes one")


@group.command()
def reweight(
    context: typer.Context,
    before: Annotated[str, typer.Option(help="The stage whose mix is restored.")] = "rule",
    after: Annotated[str, typer.Option(help="The stage whose rows are weighed.")] = "safety",
    embeddings: Annotated[str | None, typer.Option(help="A folder under HOME/embeddings; captions alone when left out.")] = None,
) -> None:
    """Compute weights that undo a filter's selection bias.

    With them, what the filter left has the mix of what came in; a policy with `reweigh: true` uses them. A
    page with words and concepts before the filter, after it and reweighted is written to HOME/reports.
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
    write_page(store, "reweighting", mix_page(store))

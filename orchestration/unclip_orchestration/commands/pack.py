"""Command that packs what was decided into an immutable dataset version."""

from pathlib import Path
from typing import Annotated

import typer


def pack(
    context: typer.Context,
    policy: Annotated[Path, typer.Option(help="The policy file of the final verdicts; 'default' is the one that ships.")] = Path("default"),
) -> None:
    """Pack what the final stage keeps into an immutable dataset version: shards, embeddings, weights, manifest and data card.

    It becomes the present set, the one that `unclip train` learns from. The same verdicts give the same version.
    """
    from unclip_assets.pointers import point
    from unclip_curation.decisions.ground_truth import starter_labels
    from unclip_curation.features import required
    from unclip_curation.policy import load_policy
    from unclip_curation.publishing.publish import publish
    from unclip_orchestration.running import alone
    from unclip_pairs.errors import UserError
    from unclip_pairs.home import open_store

    store, chosen = open_store(context.obj.home), load_policy(None if str(policy) == "default" else policy)
    with alone(context.obj.home):
        final = required(store, "verdicts/final.json", "run `unclip curate --clip CLIP` first")
        folders = sorted({name.split("/")[1] for name in final.inputs if name.startswith("embeddings/")})
        if not folders:
            raise UserError("the final verdicts were decided without embeddings; run `unclip curate --clip CLIP`, then pack again")
        manifest = publish(store, chosen, starter_labels(store), folders[0])
        version = str(manifest.settings["version"])
        point(store, "training_shards", version, manifest.digest)
    counts = ", ".join(f"{count:,} {split.replace('_', ' ')}" for split, count in manifest.counts.items())
    typer.echo(f"{version}: {counts}; read {store.folder(f'datasets/{version}')}/card.md")

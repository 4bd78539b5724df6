"""Registry of probes: each category's probe is a model of its own in MLflow, a version per file."""

from collections.abc import Mapping

from unclip_pairs.manifest import Manifest
from unclip_release.registry import Registry, ensure_model


def register_probe(registry: Registry, folder: str, manifest: Manifest, figures: Mapping[str, float]) -> str:
    """The version number of the probe in `folder`, registered as `<category>_probe`; a probe that is registered keeps its number.

    With a tracking server the files are uploaded to it. `UserError` when the registry refuses or does not answer.
    """
    name, version = f"{manifest.settings['category']}_probe", str(manifest.settings["version"])
    with registry.client() as client:
        ensure_model(client, name, f"finds {manifest.settings['category']} in CLIP embeddings; taught by people's labels")
        known = [found for found in client.search_model_versions(f"name = '{name}'") if found.tags.get("probe") == version]
        if known:
            return str(known[0].version)
        source = registry.store.path(folder).resolve()
        tags = {"probe": version, "manifest_digest": manifest.digest, "embedder": str(manifest.inputs["embedder"])}
        run_id = registry.log_run(client, f"probe {name} {version}", tags, figures, (source / "reliability.png", source / "report.json"))
        address = source.as_uri()
        if not registry.is_embedded:
            client.log_artifacts(run_id, str(source), "probe")
            address = f"{client.get_run(run_id).info.artifact_uri}/probe"
        client.set_terminated(run_id)
        return str(client.create_model_version(name, source=address, run_id=run_id, tags=tags).version)

"""Tests of the registry of probes: one version per file, in the same MLflow as the bundles."""

from unclip_pairs.manifest import Manifest, make_manifest, write_manifest
from unclip_pairs.store import Store
from unclip_release.probes import register_probe
from unclip_release.registry import open_registry


def finished(store: Store, version: str) -> tuple[str, Manifest]:
    folder = f"probes/weapons/{version}"
    for name in ("probe.safetensors", "report.json", "reliability.png"):
        store.write_bytes(f"{folder}/{name}", version.encode())
    files = [f"{folder}/{name}" for name in ("probe.safetensors", "report.json", "reliability.png")]
    manifest = make_manifest(store, "probe", files, inputs={"embedder": "0badcafe"}, settings={"category": "weapons", "version": version})
    return folder, write_manifest(store, f"{folder}/manifest.json", manifest)


def test_a_probe_becomes_a_version_once(registered_store: Store) -> None:
    registry = open_registry(registered_store)
    numbers = [register_probe(registry, *finished(registered_store, name), {"held_out_recall": 0.99}) for name in ("aa", "bb", "aa")]
    assert numbers == ["1", "2", "1"]
    with registry.client() as client:
        found = client.get_model_version("weapons_probe", "2")
        assert found.tags["probe"] == "bb"
        assert client.get_run(str(found.run_id)).data.metrics == {"held_out_recall": 0.99}
    assert registry.versions() == []

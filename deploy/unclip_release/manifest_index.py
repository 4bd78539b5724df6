"""Index of what a store holds by digest: finished steps, their weights, cached copies, files, and the starter's labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, read_manifest, settings_digest
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder, weights_digest

MANIFEST_FOLDERS = ("crawl/", "features/", "verdicts/", "embeddings/", "datasets/", "models/", "bundles/")
STARTER = "starter/manifest.json"
LABELS = "labels"


@dataclass(frozen=True)
class Found:
    """Where something with a digest lies. `manifest` is None for a file that is no finished step; a copy is a cache of it."""

    name: str
    manifest: Manifest | None = None
    is_copy: bool = False


@dataclass
class ManifestIndex:
    """Everything of a store that an input can name, by digest."""

    store: Store
    entries: dict[str, Found]
    _labels: dict[str, Found] | None = field(default=None, repr=False)

    def find(self, digest: str, role: str = "") -> Found | None:
        """What has this digest, or None when nothing here has; `role` is what the input calls it."""
        if digest not in self.entries and role == LABELS:
            if self._labels is None:
                self._labels = _starter_labels(self.store)
            return self._labels.get(digest)
        return self.entries.get(digest)


def manifest_index(store: Store, bundle: str = "") -> ManifestIndex:
    """The index of a store. Of the `bundle` (its digest) the manifests that it brings along count too, for a machine on which only the
    bundle is left."""
    known = manifests(store)
    if bundle in known:
        known = _bundled(store, bundle_folder(known[bundle][1])) | known
    steps = {digest: Found(name, manifest) for digest, (name, manifest) in (by_weights(known) | known).items()}
    return ManifestIndex(store, _files(store, known) | _cached(store) | steps)


def manifests(store: Store) -> dict[str, tuple[str, Manifest]]:
    """Every manifest of the store by its digest, with its name. Shards' own manifests are left out: their dataset stands for them."""
    found: dict[str, tuple[str, Manifest]] = {}
    for folder in MANIFEST_FOLDERS:
        for name in store.names(folder):
            if name.endswith(".json") and not _is_detail(name) and (manifest := _read(store, name)) is not None:
                found.setdefault(manifest.digest, (name, manifest))
    return found


def by_weights(known: Mapping[str, tuple[str, Manifest]]) -> dict[str, tuple[str, Manifest]]:
    """The models again, by the digest of their weights: a training names the CLIP it learned from so."""
    models = [entry for entry in known.values() if entry[1].kind == "model"]
    return {digest: entry for entry in models if (digest := weights_digest(entry[1])) is not None}


def _is_detail(name: str) -> bool:
    file = name.rsplit("/", 1)[1]
    return (
        "/lineage/" in name
        or (name.startswith("bundles/") and name.count("/") > 2)  # the parts of an imported model
        or file.startswith(("shard-", "train-", "held_out-", "validation-"))
        or file in ("metrics.json", "bundle.json", "tokenizer.json")
    )


def _read(store: Store, name: str) -> Manifest | None:
    try:
        return read_manifest(store, name)
    except UserError:
        return None


def _bundled(store: Store, folder: str) -> dict[str, tuple[str, Manifest]]:
    names = [name for name in store.names(f"{folder}/lineage/") if name.endswith(".json")]
    return {manifest.digest: (name, manifest) for name in names if (manifest := _read(store, name)) is not None}


def _cached(store: Store) -> dict[str, Found]:
    """The training caches by the digest of the set that they were made from: a set that nobody published lives on in them."""
    found: dict[str, Found] = {}
    for name in store.names("cache/"):
        if name.endswith("/manifest.json") and (manifest := _read(store, name)) is not None and "source" in manifest.inputs:
            found.setdefault(manifest.inputs["source"], Found(name, manifest, is_copy=True))
    return found


def _files(store: Store, known: Mapping[str, tuple[str, Manifest]]) -> dict[str, Found]:
    starter = _read(store, STARTER)
    made = [*(manifest for _, manifest in known.values()), *([starter] if starter else [])]
    return {digest: Found(name) for manifest in made for name, digest in manifest.files.items()}


def _starter_labels(store: Store) -> dict[str, Found]:
    """The labels of the starter corpus by their digest; they are worked out from the crawl, so only when somebody asks."""
    from unclip_curation.decisions.ground_truth import TRUTH, starter_labels

    labels = starter_labels(store)
    return {} if labels is None else {settings_digest(labels.to_pylist()): Found(TRUTH)}

"""Walk forward: which datasets, networks, bundles and registered models learned from given pairs."""

from collections.abc import Mapping

from unclip_curation.decisions.takedown_effects import holders
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.manifest_index import by_weights, manifests
from unclip_release.registry import Registry

KINDS = ("model", "bundle")


def learned_from(store: Store, registry: Registry | None, keys: set[str]) -> list[str]:
    """One line for each published dataset that holds one of the pairs, for each network and bundle made from such a set, and for each
    registered version of such a bundle with its aliases, in the order in which they were made.

    A network whose training set was decided anew since, so that its old verdicts are gone, is named as one that may have learned.
    """
    held, known = holders(store, keys), manifests(store)
    weights = {manifest.digest: digest for digest, (_, manifest) in by_weights(known).items()}
    touched, lines = set(held), list[str]()
    for digest, (name, _) in known.items():
        if digest in held and name.startswith("datasets/"):
            lines.append(f"dataset {name.split('/')[1]}: {len(held[digest])} of the pairs")
    while fresh := [digest for digest, (_, manifest) in known.items() if digest not in touched and _learns(manifest, touched)]:
        lines += [f"{known[digest][1].kind} {_short(known[digest][0])}" for digest in fresh]
        touched |= {name for digest in fresh for name in (digest, weights.get(digest, digest))}
    everything = set(known) | set(weights.values())
    lines += [
        f"model {_short(name)} may have learned: {lost}" for name, manifest in known.values() if (lost := _lost(manifest, everything))
    ]
    for version in registry.versions() if registry is not None else []:
        if version.digest in touched:
            lines.append(f"registered model {version.label} (aliases: {', '.join(version.aliases) or 'none'})")
    return lines


def _learns(manifest: Manifest, touched: set[str]) -> bool:
    return manifest.kind in KINDS and bool(touched & set(manifest.inputs.values()))


def _short(name: str) -> str:
    return name.removeprefix("models/").removeprefix("bundles/").removesuffix("/manifest.json")


def _lost(manifest: Manifest, known: set[str]) -> str | None:
    """What a network's set is called when nobody here knows it any more."""
    source: Mapping[str, str] = manifest.inputs if manifest.kind == "model" else {}
    unknown = source.get("dataset")
    return f"its set {unknown[:12]} is no longer in this store" if unknown and unknown not in known else None

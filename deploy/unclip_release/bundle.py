"""Bundle: the five networks of one generator, with all that tells where they come from, in one folder."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, file_digest, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.store import Store

STAGES = ("clip", "prior", "decoder", "upsampler_1", "upsampler_2")
GENERATIVE = STAGES[1:]
GUIDED_BY_CLIP = ("prior", "decoder")
FORMAT = 1


def stage_manifests(store: Store, stages: Mapping[str, str]) -> dict[str, Manifest]:
    """The manifests of the model folders, by stage; `UserError` when a stage is missing, unknown or not finished."""
    if set(stages) != set(STAGES):
        raise UserError(f"a bundle needs exactly the stages {', '.join(STAGES)}, but got {', '.join(sorted(stages)) or 'none'}")
    found: dict[str, Manifest] = {}
    for stage in STAGES:
        manifest = read_manifest(store, f"{stages[stage]}/manifest.json")
        if manifest is None:
            raise UserError(
                f"the stage {stage} is not finished: {store.path(stages[stage])} has no manifest.json; train it to its end first"
            )
        found[stage] = manifest
    return found


def weights_digest(manifest: Manifest) -> str | None:
    """The sha256 of a model folder's weights as its manifest states it, or None when it has none."""
    return next((digest for name, digest in manifest.files.items() if name.endswith("/weights.safetensors")), None)


def compatibility(manifests: Mapping[str, Manifest]) -> list[str]:
    """Why these stages do not belong together; an empty list is a yes.

    Prior and decoder must have learned from the embeddings of this very CLIP, and all generative stages from one dataset.
    """
    clip = weights_digest(manifests["clip"])
    sentences = [f"the {stage} has no weights.safetensors in its manifest" for stage in STAGES if weights_digest(manifests[stage]) is None]
    for stage in GUIDED_BY_CLIP:
        learned_from = manifests[stage].inputs.get("clip")
        if learned_from != clip:
            sentences.append(
                f"the {stage} was trained with the CLIP {(learned_from or 'none')[:12]}, but the bundle's CLIP is {(clip or 'none')[:12]}"
            )
    datasets = {stage: manifests[stage].inputs.get("dataset", "none") for stage in GENERATIVE}
    if len(set(datasets.values())) > 1:
        listed = ", ".join(f"{stage}: {digest[:12]}" for stage, digest in datasets.items())
        sentences.append(f"the generative stages were trained on different datasets ({listed})")
    return sentences


def bundle_folder(manifest: Manifest) -> str:
    """The folder of a bundle, relative to its store."""
    return f"bundles/{manifest.settings['bundle']}"


def link_file(store: Store, source: Path, name: str) -> None:
    """The file under a name of the store: a hard link where the disk allows it and the file may be written, else a copy."""
    with store.writing(name) as part:
        try:
            if not os.access(source, os.W_OK):  # it could not be flushed to the disk under its new name
                raise PermissionError
            os.link(source, part)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            shutil.copyfile(source, part)


def _checked_weights(store: Store, folder: str, manifest: Manifest) -> Path:
    path = store.path(f"{folder}/weights.safetensors")
    if not path.exists() or file_digest(path) != weights_digest(manifest):
        raise UserError(f"{path} is missing or was changed after its training; train the stage again under another run name")
    return path


def _dataset_manifest(store: Store, digest: str) -> tuple[str, Manifest] | None:
    """The published dataset of that digest and its version, or None when it is not in this store."""
    for name in store.names("datasets/"):
        if name.endswith("/manifest.json"):
            manifest = read_manifest(store, name)
            if manifest is not None and manifest.digest == digest:
                return name.split("/")[1], manifest
    return None


def _describe(identity: str, stages: Mapping[str, str], manifests: Mapping[str, Manifest], origin: Mapping[str, str]) -> dict[str, object]:
    """The content of bundle.json: what the generator reads, then what people read."""
    return {
        "format": FORMAT,
        "name": "unclip",
        "bundle": identity,
        "tokenizer": "tokenizer.json",
        "clip": "clip.safetensors",
        "prior": "prior.safetensors",
        "decoder": "decoder.safetensors",
        "upsamplers": ["upsampler_1.safetensors", "upsampler_2.safetensors"],
        "stages": {
            stage: {
                "model": stages[stage],
                "manifest": manifest.digest,
                "recipe": manifest.settings.get("recipe", ""),
                "dataset": manifest.inputs.get("dataset", ""),
            }
            for stage, manifest in manifests.items()
        },
        **origin,
    }


def write_bundle(
    store: Store, stages: Mapping[str, str], *, policy_version: str = "", guidance: Mapping[str, float] | None = None
) -> Manifest:
    """Collects the stages (`{"clip": "models/clip/demo", ...}`) into `bundles/<12 hex>`; the same stages give the same bundle, made once.

    `guidance` (`{"prior": 1.0, "decoder": 2.0}`) is what the generator uses when nobody says otherwise; None: its own defaults.

    `UserError` when a stage is unfinished, altered, or was trained with another CLIP or on another dataset than the others.
    """
    manifests = stage_manifests(store, stages)
    if reasons := compatibility(manifests):
        raise UserError(f"these stages make no bundle: {'; '.join(reasons)}; train them again from one CLIP and one dataset")
    tokenizer = store.path(f"{stages['clip']}/tokenizer.json")
    if not tokenizer.exists():
        raise UserError(f"{tokenizer} is missing; train the CLIP again, its training writes the tokenizer")
    dataset = _dataset_manifest(store, manifests["decoder"].inputs["dataset"])
    inputs = {stage: manifest.digest for stage, manifest in manifests.items()} | {"dataset": manifests["decoder"].inputs["dataset"]}
    scales = {"guidance": dict(guidance)} if guidance else {}
    made_of = {"inputs": inputs, "tokenizer": file_digest(tokenizer), "policy": policy_version, "format": FORMAT}
    identity = settings_digest(made_of | scales)[:12]
    folder = f"bundles/{identity}"
    done = read_manifest(store, f"{folder}/manifest.json")
    if done is not None and all(store.exists(name) for name in done.files):
        return done
    origin = {"dataset": inputs["dataset"], "dataset_version": dataset[0] if dataset else "", "policy_version": policy_version}
    for stage, manifest in manifests.items():
        link_file(store, _checked_weights(store, stages[stage], manifest), f"{folder}/{stage}.safetensors")
        store.write_json(f"{folder}/lineage/{stage}.json", asdict(manifest) | {"digest": manifest.digest})
    if dataset:
        store.write_json(f"{folder}/lineage/dataset.json", asdict(dataset[1]) | {"digest": dataset[1].digest})
    link_file(store, tokenizer, f"{folder}/tokenizer.json")
    store.write_json(f"{folder}/bundle.json", _describe(identity, stages, manifests, origin) | scales)
    return seal(store, folder, inputs, {"bundle": identity, **origin})


def seal(store: Store, folder: str, inputs: Mapping[str, str], settings: Mapping[str, str]) -> Manifest:
    """Writes the manifest of a bundle's folder over every file in it, and gives it."""
    files = [name for name in store.names(f"{folder}/") if name != f"{folder}/manifest.json"]
    size = sum(store.path(name).stat().st_size for name in files)
    manifest = make_manifest(store, "bundle", files, inputs=inputs, settings=settings, counts={"files": len(files), "bytes": size})
    return write_manifest(store, f"{folder}/manifest.json", manifest)


def verify(folder: Path) -> Manifest:
    """The manifest of a bundle folder, after every file was read and compared; `UserError` when something is missing or altered."""
    manifest = read_manifest(Store(folder), "manifest.json") if folder.is_dir() else None
    if manifest is None or manifest.kind != "bundle":
        raise UserError(f"{folder} is not a finished bundle; run `unclip model release`, or fetch it again")
    prefix = f"{bundle_folder(manifest)}/"
    for name, digest in manifest.files.items():
        path = folder / name.removeprefix(prefix)
        if not path.is_file() or file_digest(path) != digest:
            raise UserError(f"{path} is missing or damaged; put the bundle {folder.name} back from a copy, or release it again")
    return manifest

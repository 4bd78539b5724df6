"""Import of a model that was trained elsewhere: its files become a bundle of the store, with licence and card.

What is not used is left behind, pickles always. The bundle is done when its manifest is there, which holds every file's sha256; until
then any step may be killed and run again. Nothing is fetched: the folders lie on this machine already.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, file_digest, read_manifest, settings_digest, write_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store
from unclip_release.bundle import FORMAT, bundle_folder, link_file, seal, verify
from unclip_release.import_papers import Papers, checksums, read_papers

if TYPE_CHECKING:
    from unclip_generation.open_weights.folder import SourcePart
    from unclip_generation.open_weights.listing import OpenWeights, Part

OUTSIDE = "outside this home"
Pipelines = dict[str, dict[str, "SourcePart"]]


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What is imported. `prior`, `variations` and `inpaint` are folders of the same model beside the first; `licence` is a text for
    folders that have none; `sha256sums` states every file's sha256. Steps None: diffusers' own numbers."""

    folder: Path
    prior: Path | None = None
    variations: Path | None = None
    inpaint: Path | None = None
    licence: Path | None = None
    sha256sums: Path | None = None
    prior_steps: int | None = None
    decoder_steps: int | None = None

    @property
    def folders(self) -> list[Path]:
        """Every named folder, the first one first."""
        return [folder for folder in (self.folder, self.prior, self.variations, self.inpaint) if folder is not None]


def import_model(store: Store, request: ImportRequest, progress: Progress = silent) -> Manifest:
    """The bundle in the store, made once: a bundle of ours as it is, a folder in diffusers' format with only the files that are used.

    `UserError`, before anything is written, for a folder that is no model of the family, names a class that is not allowed, lacks a part,
    has weights as a pickle only, has no licence text or does not agree with `sha256sums`; and when a part cannot be loaded.
    """
    if (request.folder / "bundle.json").is_file():
        return _import_bundle(store, request.folder)
    pipelines = _pipelines(request)
    papers = read_papers(request.folders, request.licence)
    progress(0, None, "reading the files' sha256")
    digests = _digests(pipelines)
    if request.sha256sums is not None:
        checksums(request.sha256sums).compare(digests)
    weights, files = _placed(request, pipelines, digests)
    return _write(store, weights, files, papers, [folder.resolve().name for folder in request.folders], progress)


def _import_bundle(store: Store, folder: Path) -> Manifest:
    """A bundle of ours, taken over with its manifest; every file is compared with its digest first."""
    manifest = verify(folder)
    target = bundle_folder(manifest)
    if not re.fullmatch(r"bundles/[0-9a-f]{12}", target) or any(not name.startswith(f"{target}/") for name in manifest.files):
        raise UserError(f"{folder / 'manifest.json'} names files outside its own folder; fetch the bundle again")
    for name in manifest.files:
        link_file(store, folder / name.removeprefix(f"{target}/"), name)
    return write_manifest(store, f"{target}/manifest.json", manifest)


def _pipelines(request: ImportRequest) -> Pipelines:
    """The parts by pipeline; `UserError` when the folders are no whole model of one family."""
    from unclip_generation.open_weights.families import FAMILIES, family_of
    from unclip_generation.open_weights.folder import INDEX, read_folder

    whole = [folder for folder in request.folders if folder != request.variations or (folder / INDEX).is_file()]
    pipelines: Pipelines = {}
    for found in map(read_folder, whole):
        if found.pipeline in pipelines:
            raise UserError(f"two of the named folders hold a {found.pipeline}; name each pipeline once")
        pipelines[found.pipeline] = found.parts
    pipelines |= _eyes(request, pipelines)
    if family_of(set(pipelines)) is None:
        known = "; ".join(f"{name}: {' with '.join(family.needed)}" for name, family in FAMILIES.items())
        raise UserError(f"{' and '.join(pipelines)} alone is no whole model ({known}); name the other folder too, with --prior")
    return pipelines


def _eyes(request: ImportRequest, pipelines: Pipelines) -> Pipelines:
    """Karlo's variations out of the parts of its text pipeline, where a folder has what reads pictures."""
    from unclip_generation.open_weights.families import PIPELINES
    from unclip_generation.open_weights.folder import read_eyes

    text, varied = "UnCLIPPipeline", "UnCLIPImageVariationPipeline"
    if varied in pipelines or text not in pipelines:
        return {}
    eyes = read_eyes(request.variations or request.folder)
    if eyes is None:
        if request.variations is not None:
            raise UserError(f"{request.variations} has no image_encoder and feature_extractor; name the folder that reads pictures")
        return {}
    return {varied: {name: part for name, part in (pipelines[text] | eyes).items() if name in PIPELINES[varied]}}


def _digests(pipelines: Pipelines) -> dict[Path, str]:
    """The sha256 of every file that is used, each read once."""
    paths = {path for parts in pipelines.values() for part in parts.values() for path in part.files.values()}
    return {path: file_digest(path) for path in sorted(paths)}


def _placed(request: ImportRequest, pipelines: Pipelines, digests: Mapping[Path, str]) -> tuple["OpenWeights", dict[str, tuple[Path, str]]]:
    """What is imported, and by name in the bundle each file with its sha256. Parts with equal files are kept once."""
    from unclip_generation.open_weights.families import family_of
    from unclip_generation.open_weights.listing import OpenWeights, defaults

    family = family_of(set(pipelines))
    assert family is not None
    folders: dict[str, str] = {}
    files: dict[str, tuple[Path, str]] = {}
    placed: dict[str, dict[str, Part]] = {}
    for pipeline, parts in pipelines.items():
        placed[pipeline] = {name: _place(pipeline, name, part, digests, (folders, files)) for name, part in parts.items()}
    sampling, guidance = defaults(family)
    chosen = {"prior": request.prior_steps, "decoder": request.decoder_steps}
    sampling = replace(sampling, **{name: steps for name, steps in chosen.items() if steps is not None})
    return OpenWeights(family, placed, sampling, guidance), files


def _place(
    pipeline: str, name: str, part: "SourcePart", digests: Mapping[Path, str], known: tuple[dict[str, str], dict[str, tuple[Path, str]]]
) -> "Part":
    """The part in its folder of the bundle, which `known` (folders by content, files by name) remembers."""
    from unclip_generation.open_weights.listing import Part

    folders, files = known
    content = settings_digest({file: digests[path] for file, path in part.files.items()})
    if content not in folders:
        folders[content] = name if name not in folders.values() else f"{pipeline}-{name}"
        files.update({f"{folders[content]}/{file}": (path, digests[path]) for file, path in part.files.items()})
    return Part(part.class_name, folders[content])


def _write(
    store: Store,
    weights: "OpenWeights",
    files: Mapping[str, tuple[Path, str]],
    papers: Papers,
    sources: list[str],
    progress: Progress,
) -> Manifest:
    """The bundle, its manifest last; files of a model that cannot be loaded are removed again."""
    from unclip_generation.open_weights.listing import to_json

    sums = {name: digest for name, (_, digest) in files.items()}
    described = to_json(weights) | {"licence": papers.name, "imported_from": sources, "files": sums}
    identity = settings_digest([described, asdict(papers), FORMAT])[:12]
    folder = f"bundles/{identity}"
    done = read_manifest(store, f"{folder}/manifest.json")
    if done is not None and all(store.exists(name) for name in done.files):
        return done
    for number, (name, (path, _)) in enumerate(files.items(), start=1):
        link_file(store, path.resolve(), f"{folder}/{name}")
        progress(number, len(files), "taking over the files")
    for name, text in papers.files.items():
        store.write_bytes(f"{folder}/{name}", text.encode())
    store.write_json(f"{folder}/bundle.json", {"format": FORMAT, "name": "unclip", "bundle": identity} | described)
    _loaded_once(store, folder, weights, progress)
    origin = {"dataset": "", "dataset_version": OUTSIDE, "policy_version": ""}
    facts = {"family": weights.family, "licence": papers.name, "training_data": OUTSIDE, "imported_from": ", ".join(sources)}
    manifest = seal(store, folder, {}, {"bundle": identity, **origin, **facts})
    if different := [name for name, digest in sums.items() if manifest.files[f"{folder}/{name}"] != digest]:
        store.remove(f"{folder}/manifest.json")
        raise UserError(f"{files[different[0]][0]} was changed while it was imported; run the same command again")
    return manifest


def _loaded_once(store: Store, folder: str, weights: "OpenWeights", progress: Progress) -> None:
    """Loads every part, one after another, so that what cannot be loaded is not registered."""
    from unclip_generation.open_weights.parts import check_parts

    progress(0, None, "loading each part once")
    try:
        check_parts(store.folder(folder), weights)
    except UserError:
        shutil.rmtree(store.local_path(folder), ignore_errors=True)
        raise

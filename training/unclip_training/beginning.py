"""Beginning: the weights of an earlier training, from a run's folder or a bundle, that a training starts from in place of random ones."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from unclip_models import checkpoint
from unclip_models.config import NetworkConfig, as_stored
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest
from unclip_pairs.store import Store
from unclip_training.config import StageName
from unclip_training.judging.judge import Judge, load_judge

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
UPSAMPLERS: tuple[StageName, ...] = ("upsampler_256", "upsampler_1024")


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Weights to begin with, and the digest of their file. `name` is how the user named them.

    `clip` is the digest of the CLIP beside which they were trained, None where there was none; `tokenizer` is there for a stage that has
    its own.
    """

    name: str
    weights: Path
    digest: str
    clip: str | None = None
    tokenizer: Path | None = None


def find_beginning(store: Store, name: str, stage: StageName) -> Beginning:
    """What `--from NAME` names: a folder of the store (`models/decoder/RUN`, `bundles/ID`), or any folder of this machine.

    `UserError` when it holds no weights of this stage, or they are unfinished.
    """
    folder = _folder(store, name)
    if (folder / "bundle.json").exists():
        return _of_bundle(folder, name, stage)
    if (folder / "weights.safetensors").exists():
        return _of_run(folder, name, stage)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise UserError(
            f"--from {name!r} holds {pickled[0]}, which may be a pickle and is never read; name a folder with weights.safetensors"
        )
    raise UserError(f"--from {name!r} holds neither weights.safetensors nor bundle.json; name the folder of a finished run or of a bundle")


def _folder(store: Store, name: str) -> Path:
    given = Path(name)
    is_relative = not given.is_absolute() and ".." not in given.parts
    folder = store.folder(name) if is_relative and name and store.exists(name) else given
    if folder.suffix in PICKLES:
        raise UserError(f"--from {name!r} may be a pickle, which is never read; name a folder with weights.safetensors")
    if not folder.is_dir():
        raise UserError(f"--from {name!r} is no folder in {store} or on this machine; name the folder of a finished run or of a bundle")
    return folder


def _of_run(folder: Path, name: str, stage: StageName) -> Beginning:
    manifest = _object(folder / "manifest.json", name)
    theirs = dict(manifest.get("settings", {})).get("stage")
    if theirs != stage:
        raise UserError(
            f"--from {name!r} holds the weights of the stage {theirs}, but the recipe trains the stage {stage}; name a run of it"
        )
    weights, tokenizer = folder / "weights.safetensors", folder / "tokenizer.json"
    clip = dict(manifest.get("inputs", {})).get("clip")
    return Beginning(
        name=name, weights=weights, digest=file_digest(weights), clip=clip, tokenizer=tokenizer if tokenizer.exists() else None
    )


def _of_bundle(folder: Path, name: str, stage: StageName) -> Beginning:
    listing = _object(folder / "bundle.json", name)
    if stage == "judge":
        raise UserError(f"--from {name!r} is a bundle, which holds no judge; name the folder of a judge's run")
    try:
        file = listing["upsamplers"][UPSAMPLERS.index(stage)] if stage in UPSAMPLERS else listing[stage]
        weights, clip = _inside(folder, file, name), _inside(folder, listing["clip"], name)
        tokenizer = _inside(folder, listing["tokenizer"], name) if stage == "clip" else None
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f"--from {name!r} is a bundle that names no {stage}; release the bundle again") from error
    conditioned_on = None if stage == "clip" else file_digest(clip)
    return Beginning(name=name, weights=weights, digest=file_digest(weights), clip=conditioned_on, tokenizer=tokenizer)


def _inside(folder: Path, file: object, name: str) -> Path:
    """A file directly in the folder: a listing from elsewhere must not reach out of it."""
    if not isinstance(file, str) or Path(file).name != file or not (folder / file).is_file():
        raise UserError(f"--from {name!r} is a bundle whose file {file!r} is not in its folder; copy the bundle again")
    return folder / file


def _object(path: Path, name: str) -> dict[str, Any]:  # what json.loads gives
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--from {name!r} has no readable {path.name}; name a run that is finished, or a whole bundle") from error
    if not isinstance(found, dict):
        raise UserError(f"--from {name!r} has a {path.name} that is no object; name a run that is finished, or a whole bundle")
    return found


def take_weights(beginning: Beginning, network: nn.Module, config: NetworkConfig) -> None:
    """Puts the weights, and what was measured before they were trained, into the network; `UserError` when its config is another one."""
    found, theirs = checkpoint.load(beginning.weights)
    if type(theirs) is not type(config):
        raise UserError(
            f"--from {beginning.name!r} holds a {type(theirs).__name__} where the recipe has a {type(config).__name__}; "
            "use the recipe that it was trained with"
        )
    _refuse_difference(beginning, as_stored(theirs), as_stored(config))
    network.load_state_dict(found.state_dict())


def take_judge(beginning: Beginning, judge: Judge) -> None:
    """The same for the judge."""
    found, _ = load_judge(beginning.weights.parent)
    _refuse_difference(beginning, as_stored(found.config), as_stored(judge.config))
    judge.load_state_dict(found.state_dict())


def take_tokenizer(beginning: Beginning, store: Store, name: str) -> None:
    """Copies the tokenizer of the weights to `name`; `UserError` when they have none."""
    if beginning.tokenizer is None:
        raise UserError(f"--from {beginning.name!r} has no tokenizer.json; copy it from where the weights were trained")
    with store.writing(name) as part:
        shutil.copyfile(beginning.tokenizer, part)


def _refuse_difference(beginning: Beginning, theirs: Mapping[str, object], ours: Mapping[str, object]) -> None:
    if difference := _first_difference(theirs, ours):
        raise UserError(f"--from {beginning.name!r} was trained with {difference}; use the recipe that it was trained with")


def _first_difference(theirs: Mapping[str, object], ours: Mapping[str, object], prefix: str = "") -> str | None:
    """The first setting in which two configs differ, in words."""
    for name, mine in ours.items():
        other = theirs.get(name)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            inner = _first_difference(dict(other), dict(mine), f"{prefix}{name}.")
            if inner:
                return inner
        elif json.dumps(other) != json.dumps(mine):
            return f"{prefix}{name} {other}, but the recipe has {mine}"
    return None

"""Folder in diffusers' format, looked at before anything in it is loaded: classes, parts, files and sizes, and no pickle.

Nothing here imports diffusers: names are compared with the tables of `families.py`, and of weights only the header is read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from unclip_generation.open_weights.families import KARLO_EYES, LIBRARIES, PIPELINES, SUFFIX, PartKind
from unclip_pairs.errors import UserError

INDEX = "model_index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
MOST_TEXT = 32 * 2**20
"""Bytes of the largest configuration, vocabulary or index that is read."""


@dataclass(frozen=True)
class SourcePart:
    """A part as it lies in a folder of somebody's: its class and its files, by their names in the part's folder."""

    class_name: str
    files: dict[str, Path]


@dataclass(frozen=True)
class SourceFolder:
    """A whole folder: the class of its pipeline, and its parts by name."""

    folder: Path
    pipeline: str
    parts: dict[str, SourcePart]


def read_folder(folder: Path) -> SourceFolder:
    """The pipeline in a folder. `UserError`, in one sentence, when there is none, when it names a class that is not of this family of
    models, or when a part is missing, too large, cut off, or there as a pickle only."""
    index = _index(folder)
    pipeline = str(index.get("_class_name"))
    if pipeline not in PIPELINES:
        raise UserError(f"{folder / INDEX} names the pipeline {pipeline!r}, which cannot be imported; these can: {', '.join(PIPELINES)}")
    kinds = PIPELINES[pipeline]
    named = {name: value for name, value in index.items() if not name.startswith("_") and isinstance(value, list) and value != [None, None]}
    for name, value in named.items():
        _allowed(folder, name, value)
    if missing := [name for name in kinds if name not in named]:
        raise UserError(f"{folder / INDEX} names no {missing[0]}, which a {pipeline} needs; fetch the folder again, whole")
    parts = {name: read_part(folder, name, kind, str(named[name][1])) for name, kind in kinds.items()}
    return SourceFolder(folder, pipeline, parts)


def read_eyes(folder: Path) -> dict[str, SourcePart] | None:
    """What lets Karlo read pictures (`image_encoder` and `feature_extractor`), where a folder has both; errors as in `read_part`."""
    if not all((folder / name).is_dir() for name in KARLO_EYES):
        return None
    return {name: read_part(folder, name, kind, kind.classes[0]) for name, kind in KARLO_EYES.items()}


def read_part(folder: Path, name: str, kind: PartKind, class_name: str) -> SourcePart:
    """The part's files that are used, all others left out; `UserError` when one is missing, too large, cut off, or only a pickle."""
    place = folder / name
    if not place.is_dir():
        raise UserError(f"{folder} has no part {name} (a folder of that name); fetch the folder again, whole")
    for file in kind.required:
        if not (place / file).is_file():
            raise UserError(f"{place} has no {file}; fetch the folder again, whole")
    texts = [file for file in (*kind.required, *kind.optional) if (place / file).is_file()]
    for file in texts:
        _text_size(place / file)
    return SourcePart(class_name, {file: place / file for file in (*texts, *(_weights(place, kind.stem) if kind.stem else ()))})


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"{folder} has neither a bundle.json nor a {INDEX}; name a bundle's folder, or one in diffusers' format")
    return _json(path)


def _json(path: Path) -> dict[str, Any]:
    _text_size(path)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch the folder again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; fetch the folder again")
    return value


def _text_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MOST_TEXT:
        raise UserError(f"{path} has {size:,} bytes, more than a file of its kind may have ({MOST_TEXT:,}); fetch the folder again")


def _allowed(folder: Path, name: str, value: list[object]) -> None:
    """`UserError` unless the class is one that some pipeline of the family has under that name."""
    library, class_name = (str(value[0]), str(value[1])) if len(value) == 2 else ("", str(value))
    classes = {one for kinds in PIPELINES.values() if name in kinds for one in kinds[name].classes}
    if library.split(".")[0] not in LIBRARIES or class_name not in classes:
        raise UserError(
            f"{folder / INDEX} names the class {library}.{class_name} for {name}, which is not allowed; only known parts are loaded"
        )


def _weights(place: Path, stem: str) -> list[str]:
    """The names of the weights: one file, or an index with the files it names. Each one's header must fit its size."""
    names = [f"{stem}{SUFFIX}"]
    if not (place / names[0]).is_file() and (place / f"{names[0]}.index.json").is_file():
        index = f"{names[0]}.index.json"
        places = _json(place / index).get("weight_map")
        shards = sorted({str(shard) for shard in places.values()}) if isinstance(places, dict) else []
        if not shards or any(Path(shard).name != shard or not shard.endswith(SUFFIX) for shard in shards):
            raise UserError(f"{place / index} names no safetensors files of its own folder; fetch the folder again")
        names = [index, *shards]
    for name in names:
        if not (place / name).is_file():
            raise _no_weights(place, name)
        if name.endswith(SUFFIX):
            _whole(place / name)
    return names


def _no_weights(place: Path, name: str) -> UserError:
    pickles = sorted(path.name for path in place.iterdir() if path.suffix in PICKLES)
    if pickles:
        return UserError(
            f"{place} has its weights as a pickle only ({pickles[0]}), which can run code when it is read; fetch {name} instead"
        )
    return UserError(f"{place} has no {name}; fetch the folder again, whole")


def _whole(path: Path) -> None:
    try:
        with safe_open(str(path), framework="pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no whole safetensors file ({str(error).splitlines()[0]}); fetch it again") from error

"""Listing of imported weights: what `bundle.json` says of them, read and written.

`{"format": 1, "kind": "diffusers", "family": ..., "pipelines": {CLASS: {PART: {"class": ..., "folder": ...}}}, "sampling": {...},
"guidance": {...}}`; other keys are for those who keep records.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from unclip_generation.bundle import Guidance
from unclip_generation.open_weights.families import FAMILIES, PIPELINES, family_of
from unclip_pairs.errors import UserError

KIND = "diffusers"


@dataclass(frozen=True)
class Sampling:
    """How many steps each stage takes; `upsampler` is 0 where there is none."""

    prior: int
    decoder: int
    upsampler: int = 0

    def __post_init__(self) -> None:
        for name, steps in asdict(self).items():
            # diffusers' unCLIP scheduler divides by one less than the number of steps
            if not 2 <= steps <= 1000 and not (name == "upsampler" and steps == 0):
                raise UserError(f"the steps of the {name} are {steps}; choose between 2 and 1000")


@dataclass(frozen=True)
class Part:
    """A part of a pipeline: its class, and its folder in the bundle."""

    class_name: str
    folder: str


@dataclass(frozen=True)
class OpenWeights:
    """What an imported bundle holds: by the class of each pipeline its parts by name, and how to sample from them."""

    family: str
    pipelines: dict[str, dict[str, Part]]
    sampling: Sampling
    guidance: Guidance

    def parts(self) -> dict[str, Part]:
        """Each folder once, with the first part that uses it."""
        return {part.folder: part for parts in reversed(self.pipelines.values()) for part in reversed(parts.values())}


def defaults(family: str) -> tuple[Sampling, Guidance]:
    """The steps and scales that diffusers' pipelines of the family have by default."""
    own = FAMILIES[family]
    return Sampling(own.prior_steps, own.decoder_steps, own.upsampler_steps), Guidance(own.prior_guidance, own.decoder_guidance)


def to_json(weights: OpenWeights) -> dict[str, object]:
    """What `from_json` reads."""
    pipelines = {
        name: {part: {"class": one.class_name, "folder": one.folder} for part, one in parts.items()}
        for name, parts in weights.pipelines.items()
    }
    return {
        "kind": KIND,
        "family": weights.family,
        "pipelines": pipelines,
        "sampling": asdict(weights.sampling),
        "guidance": asdict(weights.guidance),
    }


def from_json(value: Mapping[str, object]) -> OpenWeights:
    """What a `bundle.json` of this kind says; `UserError` when it names a class, a part or a folder that may not be there."""
    try:
        pipelines = {str(name): _parts(str(name), parts) for name, parts in _object(value["pipelines"]).items()}
        sampling = Sampling(**{name: _steps(steps) for name, steps in _object(value["sampling"]).items()})
        guidance = Guidance(**{name: _scale(scale) for name, scale in _object(value["guidance"]).items()})
        family = str(value["family"])
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(str(error)) from error
    if family != family_of(set(pipelines)):
        raise _refused(f"family {family!r} with {', '.join(pipelines)}")
    return OpenWeights(family, pipelines, sampling, guidance)


def _parts(pipeline: str, value: object) -> dict[str, Part]:
    found = {str(name): Part(str(_object(one)["class"]), str(_object(one)["folder"])) for name, one in _object(value).items()}
    kinds = PIPELINES[pipeline]
    if set(found) != set(kinds):
        raise ValueError(f"{pipeline} with the parts {', '.join(sorted(found))}")
    for name, part in found.items():
        if part.class_name not in kinds[name].classes:
            raise ValueError(f"{name} of class {part.class_name}")
        if PurePosixPath(part.folder).name != part.folder or part.folder in ("", "..", "."):
            raise ValueError(f"{name} in the folder {part.folder!r}")
    return found


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} where an object belongs")
    return value


def _steps(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} where a number of steps belongs")
    return value


def _scale(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a scale belongs")
    return float(value)


def _refused(what: str) -> UserError:
    return UserError(f"The bundle's listing of imported weights is not one that unclip writes ({what}); import the folder again.")

"""Gates file: the thresholds of the gates, read from YAML or JSON."""

from dataclasses import fields
from pathlib import Path
from typing import cast

import yaml

from unclip_pairs.errors import UserError
from unclip_release.gates import GatePolicy

KNOWN = tuple(field.name for field in fields(GatePolicy))


def load_gate_policy(path: Path | None = None) -> GatePolicy:
    """The thresholds of a YAML or JSON file, which names only those that differ from the defaults; the defaults without a file.

    `UserError` when the file cannot be read, names an unknown field or gives a field something that is no rate.
    """
    return GatePolicy() if path is None else gate_policy(path, _read(path))


def _read(path: Path) -> object:
    """What the YAML says; an empty file says nothing, which is an empty mapping."""
    try:
        found: object = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the gates file {path} cannot be read ({reason}); name a YAML or JSON file of thresholds") from error
    return {} if found is None else found


def gate_policy(path: Path, value: object) -> GatePolicy:
    """The thresholds that a value read from the file says; `UserError` as in `load_gate_policy`."""
    if not isinstance(value, dict):
        raise UserError(f"the gates file {path} must map thresholds to rates; known ones are {', '.join(KNOWN)}")
    given = cast(dict[object, object], value)
    if unknown := [str(name) for name in given if name not in KNOWN]:
        raise UserError(f"the gates file {path} names {', '.join(unknown)}, which no gate asks for; known ones are {', '.join(KNOWN)}")
    return GatePolicy(**{str(name): _rate(path, str(name), rate) for name, rate in given.items()})


def _rate(path: Path, name: str, rate: object) -> float:
    """The value as a rate 0..1."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise UserError(f"the gates file {path} sets {name} to {rate!r}; give a number from 0 to 1")
    return float(rate)

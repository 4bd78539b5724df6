"""Policy: the thresholds and the SQL that decide, read from one YAML file and one SQL file."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypedDict

import yaml

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import settings_digest

DEFAULT = "default"
FACE_ACTIONS = ("drop", "blur", "keep")
KINDS_OF_PICTURE = ("drawn", "photographed")


class ProbeRule(TypedDict):
    """The probe that a policy names for a category, and the score (0..1) from which it finds a picture."""

    probe: str
    threshold: float


@dataclass(frozen=True)
class Policy:
    """Every threshold by name, and the SQL that uses them."""

    settings: dict[str, object]
    sql: str

    @property
    def version(self) -> str:
        """12 hex digits of thresholds and SQL; comments in the YAML do not count."""
        return settings_digest([self.settings, self.sql])[:12]

    @property
    def scorers(self) -> list[str]:
        """The scorers that the policy relies on."""
        found = self.settings["scorers"]
        return [str(name) for name in found] if isinstance(found, list) else []

    @property
    def probes(self) -> dict[str, ProbeRule]:
        """The named probes by category."""
        found = self.settings.get("probes")
        return dict(found) if isinstance(found, dict) else {}

    def number(self, name: str) -> int | float:
        """The threshold of that name."""
        value = self.settings[name]
        assert isinstance(value, int | float), f"{name} is no number"
        return value


def load_policy(path: str | Path | None = None) -> Policy:
    """The policy in a YAML file, or the default one.

    `UserError` when the file cannot be read, names an unknown field or gives a field a value of the wrong kind.
    """
    default = _shipped("default.yaml")
    settings, sql = _parsed(default, "default.yaml"), _shipped("default.sql")
    for file, fields in _chain(path):
        _check(file, fields, settings)
        sql = _read(file.parent / str(fields["sql"])) if "sql" in fields else sql
        settings = settings | {name: value for name, value in fields.items() if name not in ("extends", "sql")}
    return Policy(settings, sql)


def _chain(path: str | Path | None) -> list[tuple[Path, dict[str, object]]]:
    """The files from the most basic to the one asked for, the default left out."""
    found: list[tuple[Path, dict[str, object]]] = []
    while path is not None:
        file = Path(path)
        if any(file.resolve() == seen.resolve() for seen, _ in found):
            raise UserError(f"extends in {file} leads back to {file}; remove the circle")
        fields = _parsed(_read(file), str(file))
        found.insert(0, (file, fields))
        base = fields.get("extends", DEFAULT)
        path = None if base == DEFAULT else file.parent / str(base)
    return found


def _shipped(name: str) -> str:
    return files("unclip_curation").joinpath("policies", name).read_text("utf-8")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the policy file {file} cannot be read ({error}); give the path of a readable file") from error


def _parsed(text: str, name: str) -> dict[str, object]:
    try:
        fields = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"the policy file {name} is not YAML ({' '.join(str(error).split())}); put it right") from error
    if not isinstance(fields, dict):
        raise UserError(f"the policy file {name} must hold lines of the form 'field: value'; put it right")
    return {str(field): value for field, value in fields.items()}


def _check(file: Path, fields: dict[str, object], known: dict[str, object]) -> None:
    for name, value in fields.items():
        if name in ("extends", "sql"):
            continue
        if name not in known:
            raise UserError(f"{name!r} in {file} is no field of a policy; the fields are {', '.join(sorted(known))}")
        if not _same_kind(value, known[name]):
            raise UserError(f"{name} in {file} is {value!r}; give a {_kind(known[name])}")


def _same_kind(value: object, example: object) -> bool:
    if isinstance(example, dict):
        return isinstance(value, dict) and all(_names_a_probe(entry) for entry in value.values())
    if isinstance(example, list):
        fits = _is_face_rule if example and isinstance(example[0], dict) else _is_word
        return isinstance(value, list) and all(fits(item) for item in value)
    if isinstance(example, bool) or isinstance(value, bool):
        return isinstance(example, bool) and isinstance(value, bool)
    return isinstance(value, int) or (isinstance(example, float) and isinstance(value, float))


def _is_word(item: object) -> bool:
    return isinstance(item, str)


def _is_face_rule(entry: object) -> bool:
    if not isinstance(entry, dict) or not {"do"} <= set(entry) <= {"do", "picture", "host"} or entry["do"] not in FACE_ACTIONS:
        return False
    return entry.get("picture", KINDS_OF_PICTURE[0]) in KINDS_OF_PICTURE and isinstance(entry.get("host", ""), str)


def _names_a_probe(entry: object) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"probe", "threshold"} or not isinstance(entry["probe"], str):
        return False
    return isinstance(entry["threshold"], int | float) and not isinstance(entry["threshold"], bool) and 0 <= entry["threshold"] <= 1


def _kind(example: object) -> str:
    if isinstance(example, dict):
        return "mapping of categories to {probe: 'a version', threshold: 0 to 1}; quote a version that is all digits"
    if isinstance(example, list) and example and isinstance(example[0], dict):
        return (
            f"list of rules such as {{picture: photographed, host: example.org, do: blur}}; picture is {' or '.join(KINDS_OF_PICTURE)},"
            f" do is {', '.join(FACE_ACTIONS)}, and picture and host may be left out"
        )
    return {bool: "true or false", int: "whole number", float: "number"}.get(type(example), "list of words")

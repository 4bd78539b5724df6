"""Safety policy: the one list of what may not be asked for or leave, read from YAML and checked."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from unclip_pairs.errors import UserError

CATEGORIES = (
    "hate",
    "harassment",
    "violence",
    "self_harm",
    "sexual",
    "shocking",
    "illegal",
    "deception",
    "political",
    "health",
    "spam",
    "public_figures",
)
_FILE = Path(__file__).with_name("policy.yaml")


@dataclass(frozen=True)
class Refusal:
    """Why something was refused: the category of the policy, and the sentence that the asker sees."""

    category: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One category. A phrase is words; a word that ends in `*` matches every ending. `together` refuses a text that holds
    one phrase of the first and one of the second list; `digests` are words that nobody should have to read (sha256, 16 hex digits)."""

    title: str
    phrases: tuple[str, ...] = ()
    together: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class SafetyPolicy:
    """The checked policy. `version` is its name plus the digest of the file, so an edited file is another version."""

    version: str
    prompt_message: str
    picture_message: str
    allow: tuple[str, ...]
    rules: dict[str, Rule] = field(default_factory=dict[str, Rule])


@dataclass(frozen=True, kw_only=True)
class PolicyFiles:
    """The files of the two policies that guard a service: what may not be asked for (`safety`), and which pictures are explicit
    (`curation`, the policy that also judges what is learned from). None is the file that ships."""

    safety: Path | None = None
    curation: Path | None = None


def word_digest(word: str) -> str:
    """The 16 hex digits under which a word is listed without being spelled out."""
    return hashlib.sha256(word.encode()).hexdigest()[:16]


def _words(path: Path, where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise UserError(f"{path}: {where} must be a list of phrases; quote entries that YAML reads as numbers or booleans")
    return tuple(value)


def _pairs(path: Path, where: str, value: object) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) and set(item) == {"any", "with"} for item in value):
        raise UserError(f"{path}: {where} must be a list of entries with exactly the two keys 'any' and 'with'")
    return tuple((_words(path, f"{where}.any", item["any"]), _words(path, f"{where}.with", item["with"])) for item in value)


def _rule(path: Path, name: str, value: object) -> Rule:
    if not isinstance(value, dict) or not isinstance(value.get("title"), str):
        raise UserError(f"{path}: the category {name!r} needs a 'title'")
    if unknown := set(value) - {"title", "phrases", "together", "digests"}:
        raise UserError(
            f"{path}: the category {name!r} has the unknown field {sorted(unknown)[0]!r}; use title, phrases, together, digests"
        )
    return Rule(
        title=value["title"],
        phrases=_words(path, f"{name}.phrases", value.get("phrases", [])),
        together=_pairs(path, f"{name}.together", value.get("together", [])),
        digests=frozenset(_words(path, f"{name}.digests", value.get("digests", []))),
    )


def _fields(path: Path, data: bytes) -> dict[str, object]:
    try:
        fields = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({str(error).splitlines()[0]}); correct it or leave the policy option out") from error
    expected = {"name", "prompt_message", "picture_message", "allow", "categories"}
    if not isinstance(fields, dict) or set(fields) != expected:
        raise UserError(f"{path} must have exactly the fields {', '.join(sorted(expected))}")
    return fields


def load_policy(path: Path | None = None) -> SafetyPolicy:
    """The policy of the file (default: the one that comes with the package).

    `UserError` when a category is missing or unknown: a gap in the policy must never pass for permission.
    """
    source = path or _FILE
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UserError(f"the safety policy {source} cannot be read ({error.strerror}); name a readable YAML file") from error
    fields = _fields(source, data)
    categories = fields["categories"]
    if not isinstance(categories, dict) or set(categories) != set(CATEGORIES):
        raise UserError(f"{source}: 'categories' must hold exactly {', '.join(CATEGORIES)}; empty ones keep 'phrases: []'")
    return SafetyPolicy(
        version=f"{fields['name']}-{hashlib.sha256(data).hexdigest()[:8]}",
        prompt_message=str(fields["prompt_message"]),
        picture_message=str(fields["picture_message"]),
        allow=_words(source, "allow", fields["allow"]),
        rules={name: _rule(source, name, categories[name]) for name in CATEGORIES},
    )

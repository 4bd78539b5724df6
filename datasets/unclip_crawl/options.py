"""Options: every field of `CrawlSettings` as a command line or a config form shows it, made from the field itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from unclip_crawl.addresses import is_remote
from unclip_crawl.settings import NOTE, PLACES, CrawlSettings, Note, settings_from_json
from unclip_pairs.errors import UserError


@dataclass(frozen=True)
class Option:
    """One setting: its field's name, its flag, the type of one value (str, int, float or bool), whether it takes several, its help with the
    default, and its note."""

    name: str
    flag: str
    kind: type[str | int | float | bool]
    is_several: bool
    help: str
    note: Note

    @property
    def flag_help(self) -> str:
        """The help of the command line's option."""
        return f"{self.help} May be given several times." if self.is_several else self.help


def options() -> Iterator[Option]:
    """The options in the order of the fields."""
    types = get_type_hints(CrawlSettings)
    for known in fields(CrawlSettings):
        note: Note = known.metadata[NOTE]
        is_several = types[known.name] == tuple[str, ...]
        default = "" if known.default in (MISSING, "", (), False) else f" Default: {_shown(known.default)}."
        flag = note.flag or f"--{known.name.replace('_', '-')}"
        yield Option(known.name, flag, str if is_several else types[known.name], is_several, note.help + default, note)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        parts: tuple[object, ...] = value
        return ", ".join(map(str, parts))
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_given(given: Mapping[str, object], kept: CrawlSettings | None = None) -> CrawlSettings:
    """The settings that `given` makes; values of None and empty lists are not given. When it names a place to crawl it stands for
    itself, else it changes what was `kept` of the batch. `UserError` when neither names a place, or a value makes no sense."""
    values = {name: value for name, value in given.items() if value is not None and value not in ([], ())}
    if any(name in values for name in PLACES):
        return settings_from_json({"contact": "", **values})
    if kept is None:
        raise UserError(
            f"the crawl batch {given.get('batch')!r} has no sources yet; name a place to crawl, such as --seed, --list or --folder "
            f"({', '.join(PLACES)} in a config)"
        )
    once = [option.name for option in options() if option.note.is_once]
    return settings_from_json({name: value for name, value in kept.as_json().items() if name not in once} | values)


def absolute(value: str) -> str:
    """A path made absolute, so that it holds in another process; http(s) and s3 addresses as they are."""
    return value if is_remote(value) else str(Path(value).expanduser().absolute())


def with_absolute_paths(given: Mapping[str, Any]) -> dict[str, object]:
    """The same values, with every path among them made absolute."""
    paths = {option.name for option in options() if option.note.is_path}
    return {name: _absolute(value) if name in paths else value for name, value in given.items()}


def _absolute(value: str | Iterable[str] | None) -> str | list[str] | None:
    if value is None or isinstance(value, str):
        return absolute(value) if value else value
    return [absolute(one) for one in value]

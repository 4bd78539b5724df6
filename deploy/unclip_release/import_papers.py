"""Papers of an imported model: its licence and its card, as they lie in the folder, and a list of checksums to compare with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unclip_pairs.errors import UserError

CARD = "README.md"
MOST_BYTES = 2**20
_LICENCE = re.compile(r"(licen[cs]e|copying)([.-].*)?", re.IGNORECASE)
_NAMED = re.compile(r"^license: *[\"']?([^\"'\n]+?)[\"']? *$", re.MULTILINE)
_SUM = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](?:\./)?(.+)")


@dataclass(frozen=True)
class Papers:
    """The licence's name, and every text by its name in the bundle."""

    name: str
    files: dict[str, str]


def read_papers(folders: Sequence[Path], licence: Path | None) -> Papers:
    """Licence and card of each folder. `licence` is the text for folders that have none.

    `UserError` when a folder has no licence and none is given, or when a text is empty, too large or no UTF-8.
    """
    files: dict[str, str] = {}
    for number, folder in enumerate(folders):
        mark = f"-{number}" if number else ""
        files[f"licence/LICENCE{mark}.txt"] = _text(_licence_file(folder, licence))
        if (folder / CARD).is_file():
            files[f"card/README{mark}.md"] = _text(folder / CARD)
    named = _NAMED.search(files.get("card/README.md", ""))
    return Papers(named[1] if named else _title(files["licence/LICENCE.txt"]), files)


def _licence_file(folder: Path, given: Path | None) -> Path:
    own = sorted(path for path in folder.iterdir() if path.is_file() and _LICENCE.fullmatch(path.name))
    if not own and given is None:
        raise UserError(f"{folder} has no licence text (a file LICENSE); read the model's licence and give its text with --licence FILE")
    return own[0] if own else given or folder


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        text = path.read_text("utf-8") if size <= MOST_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); give a text file in UTF-8") from error
    if not text.strip():
        raise UserError(f"{path} {'is empty' if size <= MOST_BYTES else f'has more than {MOST_BYTES:,} bytes'}; give the text itself")
    return text


def _title(text: str) -> str:
    """The first line of a text, at most 80 letters."""
    return text.strip().splitlines()[0].strip()[:80]


@dataclass(frozen=True)
class Checksums:
    """A list as `sha256sum` writes it: sha256 by file name."""

    source: Path
    sums: dict[str, str]

    def compare(self, found: Mapping[Path, str]) -> None:
        """`UserError` when a file is not in the list, or is there with another sum. A file is looked for by its place in its folder,
        with or without the folder's own name before it."""
        for path, digest in found.items():
            names = ["/".join(path.parts[-count:]) for count in (2, 3)]
            stated = [self.sums[name] for name in names if name in self.sums]
            if not stated:
                raise UserError(f"{self.source} states no sha256 of {names[0]}; take a list of the whole folder")
            if digest not in stated:
                raise UserError(
                    f"{path} has another sha256 than {self.source} states ({digest[:12]}, not {stated[0][:12]}); fetch it again"
                )


def checksums(path: Path) -> Checksums:
    """The list in a file; `UserError` when it cannot be read or has a line of another form."""
    sums: dict[str, str] = {}
    for line in _text(path).splitlines():
        found = _SUM.fullmatch(line.strip())
        if line.strip() and found is None:
            raise UserError(f"{path} has the line {line.strip()[:60]!r}; give a list as sha256sum writes it")
        if found is not None:
            sums[found[2]] = found[1].lower()
    return Checksums(path, sums)

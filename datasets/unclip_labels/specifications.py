"""Specifications: the page on which people agree what belongs to a category, before anyone labels."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from unclip_pairs.errors import UserError

SECTIONS = ("What counts", "What does not", "Edge cases", "Seeds", "Rater care")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Specification:
    """A category's page. `question` is its first paragraph, the one that raters answer; `words` are those under Seeds, in backquotes."""

    category: str
    title: str
    question: str
    text: str
    words: tuple[str, ...]

    @property
    def digest(self) -> str:
        """12 hex digits of the text: a label says by which wording it was given."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def read_specification(path: Path) -> Specification:
    """The page in a Markdown file; its name is the category's. `UserError` when it cannot be read or lacks a section."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the specification {path} cannot be read ({error}); give the path of a Markdown file") from error
    return parse(path.stem, text)


def parse(category: str, text: str) -> Specification:
    """The specification of `category` in Markdown; `UserError` when the name is not plain or a part of the page is missing."""
    if not _NAME.fullmatch(category):
        raise UserError(f"the category {category!r} must be lower-case letters, digits and _; rename the page")
    parts = sections(text)
    missing = [name for name in SECTIONS if name not in parts]
    if missing:
        raise UserError(f"the specification of {category!r} has no section {missing[0]!r}; write one under '## {missing[0]}'")
    title = re.search(r"^# (.+)$", text, re.M)
    paragraphs = [part.strip() for part in parts[""].split("\n\n") if part.strip() and not part.strip().startswith("# ")]
    if title is None or not paragraphs:
        raise UserError(f"the specification of {category!r} must begin with '# Title' and the question that raters answer; write them")
    return Specification(category, title[1].strip(), " ".join(paragraphs[0].split()), text, tuple(re.findall(r"`([^`]+)`", parts["Seeds"])))


def sections(text: str) -> dict[str, str]:
    """The text below each second-level heading, by the heading; what stands before the first is under ""."""
    parts = re.split(r"^## +(.+?) *$", text, flags=re.M)
    return {"": parts[0]} | dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))

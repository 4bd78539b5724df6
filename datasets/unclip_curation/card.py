"""This file is the data card: what a dataset version holds, where it comes from, under which licences, and how well its filters work."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unclip_curation.policy import Policy

_GAPS = """- The explicit-picture networks were checked for speed and false positives only, never on explicit pictures; nothing is known
  here about what they miss. The planted stand-ins are abstract patterns found through a list of hashes: they prove that the list is
  wired in, no more.
- Faces are found by YuNet; those it misses are neither dropped nor blurred. What tells drawings from photographs errs too (docs/faces.md).
- Violence and hate symbols are not filtered; watermarks only where the scorer `watermark` has run.
- Captions are judged by page: a single wrong caption on a page of right ones stays.
- Language is judged from three words on, with a small model that is often wrong on short texts."""


def data_card(
    rows: Sequence[Mapping[str, Any]],
    version: str,
    policy: Policy,
    counts: Mapping[str, int | float],
    planted: Mapping[str, Mapping[str, float | int]],
    inputs: Mapping[str, str],
) -> str:
    """The card as Markdown; the same arguments give the same text."""
    parts = [
        f"# Dataset {version}",
        _contents(rows),
        "## Licences and attribution\n\n" + _table(("licence", "pictures"), _counted(rows, "licence", "unstated")) + _credits(rows),
        "## Sources\n\n" + _table(("host", "pictures"), _counted(rows, "host", "unknown")),
        f"## Filters (policy {policy.version})\n\n{_filters(counts)}",
        _errors(planted),
        "## Known gaps\n\n" + _GAPS,
        "## Made from\n\n" + _table(("input", "digest"), sorted(inputs.items())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def _counted(rows: Sequence[Mapping[str, Any]], column: str, missing: str) -> list[tuple[str, int]]:
    return sorted(Counter(row[column] or missing for row in rows).items(), key=lambda pair: (-pair[1], pair[0]))


def _contents(rows: Sequence[Mapping[str, Any]]) -> str:
    """Counts by split, and by style where styles are known."""
    concepts = len({row["concept"] for row in rows if row["concept"]})
    text = f"{len(rows)} pairs of a picture and its caption"
    text += f", {concepts} concepts." if concepts else "."
    blurred = sum(bool(row.get("blur")) for row in rows)
    text += f" Faces are blurred in {blurred} of them." if blurred else ""
    text += "\n\n" + _table(("split", "pairs"), _counted(rows, "split", "train"))
    return text + ("\n\n" + _table(("style", "pairs"), _counted(rows, "style", "unknown")) if concepts else "")


def _credits(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whom the licences ask to name."""
    credits = Counter(str(json.loads(row["attributes"]).get("credit", "")) for row in rows if row["attributes"])
    named = [(credit, count) for credit, count in sorted(credits.items()) if credit]
    return "\n\n" + _table(("credit", "pictures"), named) if named else ""


def _filters(counts: Mapping[str, int | float]) -> str:
    reasons = sorted(
        ((name, count) for name, count in counts.items() if name not in ("rows", "kept")), key=lambda pair: (-pair[1], pair[0])
    )
    return f"{counts['rows']} rows were crawled, {counts['kept']} are kept. A row may go for several reasons.\n\n" + _table(
        ("reason", "rows"), reasons
    )


def _errors(planted: Mapping[str, Mapping[str, float | int]]) -> str:
    """What the filters did with defects that are known because they were planted."""
    rows = [(name, m["true"], m["found"], f"{m['recall']:.3f}", f"{m['precision']:.3f}") for name, m in planted.items() if m["true"]]
    return (
        "## Measured error\n\nOn planted defects:\n\n" + _table(("planted", "true", "found", "recall", "precision"), rows) if rows else ""
    )

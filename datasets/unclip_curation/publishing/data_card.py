"""Data card: what a dataset version holds, where it comes from, under which licences, and how well its filters work."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from unclip_curation.policy import Policy

MOST_ROWS = 50
SOURCES = {
    "caption": "the pair's own caption",
    "alt": "alt text",
    "title": "title",
    "figcaption": "the figure's caption",
    "text_before": "the sentence before the picture",
    "text_after": "the sentence behind the picture",
}
GAPS = """- The explicit-picture networks were checked for speed and false positives only, never on explicit pictures; nothing is known
  here about what they miss. The planted stand-ins are abstract patterns found through a list of hashes: they prove that the list is
  wired in, no more.
- Faces are found by YuNet; those it misses are neither dropped nor blurred. What tells drawings from photographs errs too (docs/faces.md).
- Violence and hate symbols are not filtered; watermarks only where the scorer `watermark` has run.
- What the table of filters does not name was not filtered: a picture of that kind may be in the set.
- Captions are judged by page: a single wrong caption on a page of right ones stays.
- Language is judged from three words on, with a small model that is often wrong on short texts."""


class MeasuredThreshold(TypedDict):
    """A probe's threshold with what held-out labels say of it; shares are 0..1."""

    value: float
    recall: float
    recall_low: float
    recall_high: float
    dropped: float
    yes: int


class NamedProbe(TypedDict):
    """What the card reads of a probe's report, and the policy's threshold ("present")."""

    category: str
    version: str
    threshold: MeasuredThreshold
    present: float


def data_card(
    rows: Sequence[Mapping[str, object]],
    version: str,
    policy: Policy,
    counts: Mapping[str, int | float],
    planted: Mapping[str, Mapping[str, float | int]],
    inputs: Mapping[str, str],
    languages: Mapping[str, int],
    probes: Sequence[NamedProbe],
) -> str:
    """The card as Markdown; the same arguments give the same text.

    `languages` are kept captions by likeliest language; `probes` the reports of the probes that the policy names, each with the
    "present" threshold of the policy.
    """
    parts = [
        f"# Dataset {version}",
        _contents(rows),
        "## Licences and attribution\n\n" + _table(("licence", "pictures"), _counted(rows, "licence", "unstated")) + _credits(rows),
        "## Sources\n\n" + _table(("host", "pictures"), _counted(rows, "host", "unknown")),
        _captions(rows),
        _spoken(languages),
        f"## Filters (policy {policy.version})\n\n{_filters(counts)}",
        _errors(planted, probes),
        "## Known gaps\n\n" + GAPS,
        "## Samples\n\n![A sheet of pictures, evenly spread over the set](samples.png)",
        "## Made from\n\n" + _table(("input", "digest"), sorted(inputs.items())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _captions(rows: Sequence[Mapping[str, object]]) -> str:
    """How many captions a pair has, and where they come from."""
    sources = Counter(source for row in rows for source in _listed(row.get("caption_sources", ["caption"])))
    head = f"## Captions\n\nA pair has {sources.total() / len(rows):.2f} captions on average; `captions.json` holds them, best first.\n\n"
    return head + _table(("from", "captions"), [(SOURCES[name], sources[name]) for name in SOURCES if sources[name]])


def _listed(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _spoken(languages: Mapping[str, int]) -> str:
    head = "## Languages\n\nAs a small model judges each caption.\n\n"
    return head + _table(("language", "captions"), _most(languages)) if languages else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def _counted(rows: Sequence[Mapping[str, object]], column: str, missing: str) -> list[tuple[str, int]]:
    return _most(Counter(str(row[column] or missing) for row in rows))


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first; a long tail is one row."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = ordered[MOST_ROWS:]
    return ordered[:MOST_ROWS] + ([(f"{len(rest)} others", sum(count for _, count in rest))] if rest else [])


def _contents(rows: Sequence[Mapping[str, object]]) -> str:
    """Counts by split, and by style where styles are known."""
    concepts = len({row["concept"] for row in rows if row["concept"]})
    text = f"{len(rows)} pairs of a picture and its caption"
    text += f", {concepts} concepts." if concepts else "."
    blurred = sum(bool(row.get("blur")) for row in rows)
    text += f" Faces are blurred in {blurred} of them." if blurred else ""
    text += "\n\n" + _table(("split", "pairs"), _counted(rows, "split", "train"))
    return text + ("\n\n" + _table(("style", "pairs"), _counted(rows, "style", "unknown")) if concepts else "")


def _credits(rows: Sequence[Mapping[str, object]]) -> str:
    """Whom the licences ask to name."""
    credits = Counter(str(json.loads(str(row["attributes"])).get("credit", "")) for row in rows if row["attributes"])
    named = [(credit, count) for credit, count in sorted(credits.items()) if credit]
    return "\n\n" + _table(("credit", "pictures"), named) if named else ""


def _filters(counts: Mapping[str, int | float]) -> str:
    reasons = sorted(
        ((name, count) for name, count in counts.items() if name not in ("rows", "kept")), key=lambda pair: (-pair[1], pair[0])
    )
    return f"{counts['rows']} rows were crawled, {counts['kept']} are kept. A row may go for several reasons.\n\n" + _table(
        ("reason", "rows"), reasons
    )


def _errors(planted: Mapping[str, Mapping[str, float | int]], probes: Sequence[NamedProbe]) -> str:
    """What the filters did with defects that are known because they were planted, and what held-out labels say of the probes."""
    rows = [(name, m["true"], m["found"], f"{m['recall']:.3f}", f"{m['precision']:.3f}") for name, m in planted.items() if m["true"]]
    parts = [f"On planted defects:\n\n{_table(('planted', 'true', 'found', 'recall', 'precision'), rows)}"] if rows else []
    if probes:
        head = ("category", "probe", "policy's threshold", "measured at", "held-out yes", "recall, 95 % interval", "others that go")
        parts.append(f"Probes, on labels that they did not learn from:\n\n{_table(head, [_probe_row(probe) for probe in probes])}")
    return "\n\n".join(["## Measured error", *(parts or ["Nothing was planted and no probe is named, so no error was measured."])])


def _probe_row(report: NamedProbe) -> tuple[object, ...]:
    found = report["threshold"]
    recall = f"{found['recall']:.3f} ({found['recall_low']:.3f} to {found['recall_high']:.3f})"
    measured, present = (f"{value:.6g}" for value in (found["value"], report["present"]))
    return report["category"], report["version"], present, measured, found["yes"], recall, f"{found['dropped']:.1%}"

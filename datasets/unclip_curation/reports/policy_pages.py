"""Reports on policies as pages that stand alone: words as bars, pictures as sheets, a sweep as curves."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader

from unclip_curation.decisions.policy_diff import Diff, SweepStep, frequent_words, telling
from unclip_curation.decisions.reweighting import mix_report
from unclip_curation.features import required
from unclip_curation.samples import data_address, sheet_of
from unclip_pairs.store import Store

COLOURS = ("#3b6ea8", "#c2571a", "#3f8f4f", "#8a4fa3", "#b08a1e", "#a83b4f", "#2e8c8c", "#6b6b6b")
LEFT, RIGHT, TOP, BOTTOM = 50, 700, 20, 260
TICKS = 4


def page(template: str, **values: object) -> str:
    """A page of `unclip_curation/pages/` filled in; whatever comes from the web is escaped."""
    return Environment(loader=PackageLoader("unclip_curation", "pages"), autoescape=True).get_template(template).render(**values)


def diff_page(store: Store, diff: Diff, before: str, after: str) -> str:
    """What `policy diff` shows, as HTML: counts by reason, the words and some pictures of those that come and of those that go."""
    sides = [
        _side(store, diff, title, came) for title, came in (("Come in, by what kept them out", True), ("Go, by what drops them", False))
    ]
    return page("policy_diff.html", title=f"From {before} to {after}", diff=diff, sides=sides)


def _side(store: Store, diff: Diff, title: str, came: bool) -> dict[str, object]:
    keys = diff.keys(came)
    words, sheet = (frequent_words(store, keys), sheet_of(store, keys)) if keys else ([], None)
    return {
        "title": title,
        "count": len(keys),
        "reasons": diff.came if came else diff.went,
        "words": words,
        "widest": max((max(word.share, word.share_everywhere) for word in words), default=1.0),
        "sheet": data_address(sheet) if sheet else None,
    }


def mix_page(store: Store) -> str:
    """What a filter did to the mix and what the weights put right, as HTML; `UserError` when nothing was reweighted."""
    manifest = required(store, "features/reweighting.json", "run `unclip dataset reweight` first")
    tables = mix_report(store)
    widest = max(max(share.before, share.after, share.restored) for found in tables.values() for share in found)
    return page("reweighting.html", title="The mix before and after the filter", manifest=manifest, tables=tables, widest=widest)


def sweep_page(field: str, present: float, steps: Sequence[SweepStep]) -> str:
    """A sweep as HTML: the share that is kept and the recall of each planted class that changes, against the threshold."""
    classes = telling(steps)
    most = max(1, *(step.kept for step in steps))
    shares = [("kept (share of the most)", [step.kept / most for step in steps])]
    curves = shares + [(f"recall of {name}", [step.recall[name] for step in steps]) for name in classes]
    values = [step.value for step in steps]
    lines = [
        {"name": name, "colour": COLOURS[i % len(COLOURS)], "points": _points(values, heights)} for i, (name, heights) in enumerate(curves)
    ]
    low, high = min(values), max(values)
    marks = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
    return page(
        "policy_sweep.html",
        title=f"Sweep of {field}",
        field=field,
        present=f"{present:.6g}",
        present_x=_x(values, present) if low <= present <= high else None,
        heights=[(f"{i / TICKS:g}", BOTTOM - (BOTTOM - TOP) * i / TICKS) for i in range(TICKS + 1)],
        ticks=[(f"{mark:.4g}", _x(values, mark)) for mark in marks],
        steps=steps,
        lines=lines,
        classes=classes,
    )


def _x(values: Sequence[float], value: float) -> float:
    low, width = min(values), max(max(values) - min(values), 1e-12)
    return round(LEFT + (RIGHT - LEFT) * (value - low) / width, 1)


def _points(values: Sequence[float], heights: Sequence[float]) -> str:
    return " ".join(f"{_x(values, value)},{BOTTOM - (BOTTOM - TOP) * h:.1f}" for value, h in zip(values, heights, strict=True))

"""Rounds: what people are asked about next, and the probe that learns from what they said."""

import json
import re
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from unclip_curation.scorers.probes import LOGISTIC, Array, Probe
from unclip_labels.charts import reliability_chart
from unclip_labels.fitting import MIN_OF_EACH, calibrate, cross_calibrated, fit
from unclip_labels.label_store import DISPUTED, HELD_OUT, NO, TRAIN, YES, Item, LabelStore
from unclip_labels.pool import Pool, is_held_out, read_pool
from unclip_labels.raters import agreements
from unclip_labels.sampling import choose, spread
from unclip_labels.thresholds import Threshold, choose_threshold, reliability
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import Manifest, make_manifest, read_manifest, settings_digest, write_manifest
from unclip_pairs.store import Store


@dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """How many pictures a round asks about; the share of them (0..1) that goes to the held-out labels, and that two raters look at."""

    count: int = 60
    held_out: float = 0.3
    two_raters: float = 0.2
    kind: str = LOGISTIC


@dataclass(frozen=True)
class LabellingRound:
    """What a round asks about: pictures by the reason they were chosen for."""

    asked: dict[str, int]


def next_round(store: Store, book: LabelStore, category: str, embeddings: str, ask: RoundSettings) -> LabellingRound:
    """Asks about the pictures that teach most. Without two labels of either answer these are pictures whose captions hold a seed word
    and as many drawn at random; with them, what a probe of the labels so far is unsure of, spread out (`sampling.choose`). The held-out
    part is always drawn at random, so that what it says of the threshold holds for all pairs."""
    pool, items = read_pool(store, embeddings), book.items(category)
    asked, seed = {item.key for item in items}, len(items)
    free = [row for row, key in enumerate(pool.keys) if key not in asked]
    zone = {
        part: np.array([row for row in free if is_held_out(category, pool.keys[row]) == (part == HELD_OUT)], dtype=np.int64)
        for part in (TRAIN, HELD_OUT)
    }
    for_test = round(ask.held_out * ask.count)
    by_reason = _to_learn(book, category, embeddings, pool, zone[TRAIN], ask.count - for_test, seed, ask.kind)
    by_reason |= {"held_out": np.random.default_rng(seed).permutation(zone[HELD_OUT])[:for_test]}
    return LabellingRound({why: _ask(book, category, pool, rows, why, ask) for why, rows in by_reason.items()})


def _ask(book: LabelStore, category: str, pool: Pool, rows: NDArray[np.int64], why: str, ask: RoundSettings) -> int:
    """Puts the pictures into the book in an order that says nothing; gives how many."""
    keys = sorted((pool.keys[row] for row in rows), key=lambda key: settings_digest([category, key]))
    pairs = round(ask.two_raters * len(keys))
    part = HELD_OUT if why == "held_out" else TRAIN
    added = book.add_items(category, keys[:pairs], part, why, raters=2)
    return added + book.add_items(category, keys[pairs:], part, why)


def _to_learn(
    book: LabelStore, category: str, embeddings: str, pool: Pool, free: NDArray[np.int64], count: int, seed: int, kind: str
) -> dict[str, NDArray[np.int64]]:
    rows, labels = _known(pool, book.items(category), TRAIN)
    if min(labels.sum(), (~labels).sum()) < MIN_OF_EACH:
        return _seeds(pool, book.specification(category).words, free, count, seed)
    probe = fit(category, kind, embeddings, pool.vectors[rows], labels)
    chosen = choose(probe.raw(pool.vectors[free]), pool.vectors[free], pool.vectors[rows], count, seed)
    return {"uncertain": free[chosen]}


def _seeds(pool: Pool, words: tuple[str, ...], free: NDArray[np.int64], count: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Half by the words of the specification, the most different ones; half at random."""
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.I) if words else None
    named = np.array([row for row in free if pattern and pattern.search(pool.captions[row])], dtype=np.int64)
    seeds = np.array(spread(pool.vectors, named, pool.vectors[:0], count // 2), dtype=np.int64)
    others = np.random.default_rng(seed).permutation(np.setdiff1d(free, seeds))[: count - len(seeds)]
    return {"seed": seeds, "random": others}


def _known(pool: Pool, items: list[Item], part: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows of pool whose raters agree on yes or no, and whether it is yes."""
    places = {key: row for row, key in enumerate(pool.keys)}
    said = [
        (places[item.key], item.consensus == YES)
        for item in items
        if item.part == part and item.key in places and item.consensus in (YES, NO)
    ]
    return np.array([row for row, _ in said], dtype=np.int64), np.array([yes for _, yes in said], dtype=bool)


class LearningReport(TypedDict):
    """What a probe learned from, and its threshold."""

    category: str
    version: str
    kind: str
    embedder: str
    specification: str
    target_recall: float
    threshold: dict[str, float | int]
    agreement: list[dict[str, object]]
    labels_yes: int
    labels_no: int


class ProbeReport(LearningReport):
    """A probe's report.json: what it learned from, and how well its scores are probabilities; see `Reliability`."""

    expected_calibration_error: float
    brier: float
    bins: list[tuple[float, float, int]]


@dataclass(frozen=True)
class Trained:
    """A finished probe: what to name it by in a policy, its threshold, and everything measured."""

    probe: Probe
    threshold: Threshold
    manifest: Manifest
    report: ProbeReport

    @property
    def figures(self) -> dict[str, float]:
        """What a tracker should show."""
        shown = {f"held_out_{name}": float(value) for name, value in asdict(self.threshold).items()}
        return shown | {name: float(self.report[name]) for name in ("expected_calibration_error", "brier", "labels_yes", "labels_no")}

    @property
    def sentences(self) -> list[str]:
        """The result in sentences."""
        found, report = self.threshold, self.report
        return [
            f"{report['category']} probe {report['version']} ({report['kind']}) learned from"
            f" {report['labels_yes']} yes, {report['labels_no']} no",
            f"threshold {found.value:.4g} on {found.yes} yes and {found.no} no held out: recall {found.recall:.3f}, 95 % sure that it lies"
            f" between {found.recall_low:.3f} and {found.recall_high:.3f}",
            f"of the others {found.dropped:.1%} would go as well ({found.dropped_low:.1%} to {found.dropped_high:.1%});"
            f" expected calibration error {report['expected_calibration_error']:.3f}",
        ]


def train(store: Store, book: LabelStore, category: str, embeddings: str, kind: str = LOGISTIC, target: float = 0.99) -> Trained:
    """Writes `probes/<category>/<version>/`: the probe, its report, its reliability plot and, last, its manifest.

    `UserError` when there are not enough labels to learn from, or held-out ones to choose a threshold on.
    """
    pool, items = read_pool(store, embeddings), book.items(category)
    rows, labels = _known(pool, items, TRAIN)
    probe = fit(category, kind, embeddings, pool.vectors[rows], labels)
    test_rows, test = _known(pool, items, HELD_OUT)
    raw = probe.raw(pool.vectors[test_rows])
    choose_threshold(raw, test, target)  # says what is missing before anything is calibrated
    probe, fair = _calibrated(probe, raw, test)
    threshold = choose_threshold(probe.calibrated(raw), test, target)
    report = _report(book, probe, threshold, target, items, labels)
    return Trained(probe, threshold, *_written(store, book, probe, report, fair, test))


def _calibrated(probe: Probe, raw: Array, test: NDArray[np.bool_]) -> tuple[Probe, Array]:
    """The probe calibrated on held-out labels, and for each of these what calibration says without it."""
    if min(test.sum(), (~test).sum()) < MIN_OF_EACH:
        return probe, probe.calibrated(raw)
    return calibrate(probe, raw, test), cross_calibrated(probe, raw, test)


def _report(
    book: LabelStore, probe: Probe, threshold: Threshold, target: float, items: list[Item], labels: NDArray[np.bool_]
) -> LearningReport:
    return {
        "category": probe.category,
        "version": probe.version,
        "kind": probe.kind,
        "embedder": probe.embedder,
        "specification": book.specification(probe.category).digest,
        "target_recall": target,
        "threshold": asdict(threshold),
        "agreement": [asdict(one) for one in agreements(items)],
        "labels_yes": int(labels.sum()),
        "labels_no": int((~labels).sum()),
    }


def _written(
    store: Store, book: LabelStore, probe: Probe, learned: LearningReport, fair: Array, test: NDArray[np.bool_]
) -> tuple[Manifest, ProbeReport]:
    category, measured = probe.category, reliability(fair, test)
    report: ProbeReport = {
        **learned,
        "expected_calibration_error": measured.expected_error,
        "brier": measured.brier,
        "bins": measured.bins,
    }
    store.write_bytes(f"{probe.folder}/probe.safetensors", probe.data)
    store.write_json(f"{probe.folder}/report.json", report)
    store.write_bytes(f"{probe.folder}/reliability.png", encode_png(reliability_chart(measured, f"{category}, probe {probe.version}")))
    labels = settings_digest([json.dumps(said, sort_keys=True) for said in book.all_labels(category)])
    files = [f"{probe.folder}/{name}" for name in ("probe.safetensors", "report.json", "reliability.png")]
    counts = {"yes": report["labels_yes"], "no": report["labels_no"], "held_out_yes": int(test.sum()), "held_out_no": int((~test).sum())}
    inputs, settings = {"labels": labels, "embedder": probe.embedder}, {"category": category, "kind": probe.kind, "version": probe.version}
    manifest = make_manifest(store, "probe", files, inputs=inputs, settings=settings, counts=counts)
    return write_manifest(store, f"{probe.folder}/manifest.json", manifest), report


def standing(store: Store, book: LabelStore, category: str) -> list[str]:
    """How far a category is, in lines: answers, agreement of raters, and its finished probes, the latest first."""
    specification, items = book.specification(category), book.items(category)
    lines = [f"{specification.title}: {specification.question} (wording {specification.digest})"]
    for part in (TRAIN, HELD_OUT):
        said = [item.consensus for item in items if item.part == part]
        counts = ", ".join(f"{said.count(value)} {value}" for value in (YES, NO, DISPUTED))
        lines.append(f"{part.replace('_', ' ')}: {len(said)} asked about, {counts}")
    for one in agreements(items):
        kappa = "not defined" if one.kappa is None else f"{one.kappa:.2f}"
        lines.append(f"{' and '.join(one.raters)}: same answer to {one.same} of {one.shared} pictures, kappa {kappa}")
    manifests = [(read_manifest(store, name), name) for name in store.names(f"probes/{category}/") if name.endswith("/manifest.json")]
    for manifest, name in sorted(((made, name) for made, name in manifests if made), key=lambda one: one[0].created, reverse=True):
        threshold = store.read_json(name.replace("manifest.json", "report.json"))["threshold"]
        lines.append(
            f"probe {manifest.settings['version']} ({manifest.settings['kind']}, {manifest.created}): threshold {threshold['value']:.4g},"
            f" recall {threshold['recall']:.3f} ({threshold['recall_low']:.3f} to {threshold['recall_high']:.3f})"
        )
    return lines

"""How a probe learns: scikit-learn fits it, its own labels choose its settings, and only arrays are kept."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unclip_curation.scorers.probes import KINDS, LOGISTIC, RBF, Array, Probe
from unclip_pairs.errors import UserError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

MIN_OF_EACH = 2
FOLDS = 5
STRENGTHS = {LOGISTIC: (0.001, 0.01, 0.1, 1.0), RBF: (1.0, 10.0)}
ISOTONIC_FROM = 200  # positives below which isotonic regression learns noise


def fit(category: str, kind: str, embedder: str, vectors: NDArray[np.float32], labels: NDArray[np.bool_], seed: int = 0) -> Probe:
    """A probe that learned from labelled vectors [rows, dim], its strength chosen by cross-validation and its scores not yet calibrated.

    `UserError` when fewer than two of either answer are there.
    """
    if kind not in KINDS:
        raise UserError(f"the kind of probe {kind!r} is not known; choose one of {', '.join(KINDS)}")
    if min(labels.sum(), (~labels).sum()) < MIN_OF_EACH:
        raise UserError(
            f"{category!r} has {labels.sum()} labels yes and {(~labels).sum()} no to learn from; label at least {MIN_OF_EACH} of each"
        )
    mean = vectors.mean(axis=0, dtype=np.float64)
    # one scale for all dimensions: stretching each to the same width would make noise as loud as what matters
    scale = np.array([np.sqrt(((vectors - mean) ** 2).mean()) + 1e-9])
    rows = (vectors.astype(np.float64) - mean) / scale
    model = untrained(kind, _strength(kind, rows, labels, seed)).fit(rows, labels)
    arrays = {"mean": mean, "scale": scale, "bias": np.asarray(model.intercept_, np.float64).reshape(1), "platt": np.array([1.0, 0.0])}
    return Probe(category=category, kind=kind, embedder=embedder, arrays=arrays | _learned(model, rows))


def _learned(model: "LogisticRegression | SVC", rows: Array) -> dict[str, Array]:
    from sklearn.linear_model import LogisticRegression

    if isinstance(model, LogisticRegression):
        return {"weights": model.coef_[0]}
    return {"support": model.support_vectors_, "dual": model.dual_coef_[0], "gamma": np.array([1 / (rows.shape[1] * rows.var())])}


def untrained(kind: str, strength: float) -> "LogisticRegression | SVC":
    """A classifier of this kind of scikit-learn that has learned nothing yet; `strength` is its inverse penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    if kind == LOGISTIC:
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=400)
    return SVC(C=strength, gamma="scale", class_weight="balanced")


def _strength(kind: str, rows: Array, labels: NDArray[np.bool_], seed: int) -> float:
    """The strength whose cross-validated decision values rank the labels best (average precision); the weakest of equals."""
    from sklearn.metrics import average_precision_score

    choices = STRENGTHS[kind]
    if labels.sum() < 2 * MIN_OF_EACH:
        return choices[-1]
    found = [average_precision_score(labels, _out_of_fold(kind, strength, rows, labels, seed)) for strength in choices]
    return choices[int(np.argmax(found))]


def _out_of_fold(kind: str, strength: float, rows: Array, labels: NDArray[np.bool_], seed: int) -> Array:
    """The decision value of each row by a model that did not see it."""
    from sklearn.exceptions import ConvergenceWarning

    values = np.zeros(len(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for inside, outside in folds(labels, seed):
            values[outside] = untrained(kind, strength).fit(rows[inside], labels[inside]).decision_function(rows[outside])
    return values


def folds(labels: NDArray[np.bool_], seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to learn from and rows to judge, with both answers in each part."""
    from sklearn.model_selection import StratifiedKFold

    number = min(FOLDS, int(labels.sum()), int((~labels).sum()))
    yield from StratifiedKFold(number, shuffle=True, random_state=seed).split(labels, labels)


def calibrate(probe: Probe, raw: Array, labels: NDArray[np.bool_]) -> Probe:
    """The probe with its scores made probabilities by labels that it did not learn from: Platt's line, or isotonic steps when many
    labels say yes. The order of scores stays (isotonic regression may make neighbours equal)."""
    kept = {name: array for name, array in probe.arrays.items() if name not in ("platt", "steps")}
    if labels.sum() >= ISOTONIC_FROM:
        return replace(probe, arrays=kept | {"steps": _isotonic(raw, labels)})
    return replace(probe, arrays=kept | {"platt": _platt(raw, labels)})


def _platt(raw: Array, labels: NDArray[np.bool_]) -> Array:
    """Slope and offset of Platt (1999): logistic regression on the decision value, with his softened targets as weights."""
    from sklearn.linear_model import LogisticRegression

    yes, no = labels.sum(), (~labels).sum()
    sure = np.where(labels, (yes + 1) / (yes + 2), (no + 1) / (no + 2))
    spread = max(float(raw.std()), 1e-9)
    model = LogisticRegression(C=1e6, max_iter=1000)
    rows = np.concatenate([raw, raw])[:, None] / spread
    model.fit(rows, np.concatenate([labels, ~labels]), sample_weight=np.concatenate([sure, 1 - sure]))
    return np.array([max(float(np.asarray(model.coef_).ravel()[0]), 1e-6) / spread, float(np.asarray(model.intercept_).ravel()[0])])


def _isotonic(raw: Array, labels: NDArray[np.bool_]) -> Array:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0).fit(raw, labels)
    return np.stack([model.X_thresholds_, model.y_thresholds_]).astype(np.float64)


def cross_calibrated(probe: Probe, raw: Array, labels: NDArray[np.bool_], seed: int = 0) -> Array:
    """What calibration says of each row when it was fitted without that row: what a reliability plot may be drawn from."""
    found = np.zeros(len(raw))
    for inside, outside in folds(labels, seed):
        found[outside] = calibrate(probe, raw[inside], labels[inside]).calibrated(raw[outside])
    return found

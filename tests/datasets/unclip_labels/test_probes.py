"""Tests of probes: they answer as scikit-learn does, lie on the disk as plain arrays, and their thresholds keep their promise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from unclip_curation.scorers.probes import KINDS, read_probe
from unclip_labels.charts import curves_chart, reliability_chart
from unclip_labels.fitting import calibrate, cross_calibrated, fit, untrained
from unclip_labels.sampling import choose, spread
from unclip_labels.thresholds import choose_threshold, clopper_pearson, order_interval, reliability
from unclip_pairs.errors import UserError


def clouds(number: int, seed: int = 0, share: float = 0.2, apart: float = 1.5) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two overlapping clouds in eight dimensions, and which of them a row is from."""
    rng = np.random.default_rng(seed)
    labels = rng.random(number) < share
    return (rng.normal(size=(number, 8)) + apart * labels[:, None] * np.eye(8)[0]).astype(np.float32), labels


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_answers_as_scikit_learn_does(kind: str) -> None:
    vectors, labels = clouds(300)
    probe = fit("weapons", kind, "0" * 8, vectors, labels)
    rows = (vectors.astype(np.float64) - probe.arrays["mean"]) / probe.arrays["scale"]
    models = [untrained(kind, strength).fit(rows, labels) for strength in (0.001, 0.01, 0.1, 1.0, 10.0)]
    fresh = clouds(50, seed=1)[0]
    scaled = (fresh.astype(np.float64) - probe.arrays["mean"]) / probe.arrays["scale"]
    assert any(np.allclose(probe.raw(fresh), model.decision_function(scaled), atol=1e-9) for model in models)


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_on_the_disk_is_the_same_probe_and_no_pickle(kind: str) -> None:
    vectors, labels = clouds(200)
    probe = calibrate(fit("weapons", kind, "0" * 8, vectors, labels), np.linspace(-1, 1, 200), labels)
    again = read_probe(probe.data)
    assert (again.version, again.category, again.kind, again.embedder) == (probe.version, "weapons", kind, "0" * 8)
    assert np.array_equal(again.scores(vectors), probe.scores(vectors))
    assert b"sklearn" not in probe.data
    for damaged in (b"", b"\x80\x04\x95", probe.data[:100]):
        with pytest.raises(UserError, match="no probe"):
            read_probe(damaged)


def test_the_same_labels_teach_the_same_probe() -> None:
    vectors, labels = clouds(200)
    assert fit("a", "rbf", "0", vectors, labels).version == fit("a", "rbf", "0", vectors, labels).version
    assert fit("a", "rbf", "0", vectors, labels).version != fit("a", "rbf", "0", vectors, ~labels).version


def test_too_few_labels_and_an_unknown_kind_are_refused() -> None:
    vectors, labels = clouds(30, share=0)
    with pytest.raises(UserError, match="0 labels yes and 30 no"):
        fit("weapons", "rbf", "0", vectors, labels)
    with pytest.raises(UserError, match="logistic, rbf"):
        fit("weapons", "forest", "0", vectors, labels)


def test_calibrated_scores_are_probabilities() -> None:
    vectors, labels = clouds(600)
    test, truth = clouds(4000, seed=5)
    probe = fit("weapons", "logistic", "0", vectors, labels)
    raw = probe.raw(test)
    before, after = reliability(probe.calibrated(raw), truth), reliability(cross_calibrated(probe, raw, truth), truth)
    assert after.expected_error < 0.02 < before.expected_error  # balanced classes overstate a rare one
    assert after.brier < before.brier
    few = calibrate(probe, raw[:300], truth[:300])
    assert "platt" in few.arrays and "steps" in calibrate(probe, raw, truth).arrays
    assert reliability(few.calibrated(raw), truth).expected_error < 0.05


def test_a_threshold_finds_the_recall_that_was_asked_for() -> None:
    scores, labels = np.linspace(0, 1, 1001), np.arange(1001) >= 501
    found = choose_threshold(scores, labels, 0.99)
    assert found.recall == 0.99 and found.value == pytest.approx(0.506)
    assert found.recall_low < 0.99 < found.recall_high
    assert (found.dropped, found.precision) == (0.0, 1.0)
    assert choose_threshold(scores, labels, 1.0).value == pytest.approx(0.501)
    with pytest.raises(UserError, match="no held-out label"):
        choose_threshold(scores, np.zeros(1001, bool), 0.99)
    with pytest.raises(UserError, match="target recall"):
        choose_threshold(scores, labels, 1.5)


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        positive = rng.normal(size=60)
        found = choose_threshold(positive, np.ones(60, bool), 0.95)
        true_recall = np.mean(rng.normal(size=4000) >= found.value)
        hits += found.recall_low <= true_recall <= found.recall_high
    assert 0.92 <= hits / 400 <= 0.98
    assert order_interval(300, 1)[0] == pytest.approx(0.025 ** (1 / 300))
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.30850, abs=1e-4))


def test_the_next_pictures_are_unsure_spread_and_partly_random() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:40] = vectors[0]  # forty copies of one picture, all on the boundary
    raw = np.linspace(0, 3, 500)
    chosen = choose(raw, vectors, vectors[450:460], 20, seed=1)
    assert len(set(chosen)) == 20
    assert sum(chosen < 40) <= 2
    assert np.array_equal(chosen, choose(raw, vectors, vectors[450:460], 20, seed=1))
    assert len(choose(raw[:5], vectors[:5], vectors[450:460], 20, seed=1)) == 5
    assert spread(vectors, np.arange(40), vectors[:0], 3)[0] == 0


def test_charts_are_drawn() -> None:
    measured = reliability(np.linspace(0, 1, 50), np.linspace(0, 1, 50) > 0.5)
    assert reliability_chart(measured, "weapons").getcolors() is not None
    assert curves_chart({"active": [(20, 0.2), (60, 1.0)], "random": [(20, 0.2)]}, "recall", "labels", "recall").size[0] > 400

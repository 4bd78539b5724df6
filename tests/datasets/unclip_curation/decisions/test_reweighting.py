"""Tests of reweighting: what a filter skews is restored, and weights reach the verdicts only when the policy says so."""

from typing import Any

import numpy as np
import pytest
from pyarrow.parquet import read_table

from unclip_curation.decisions.reweighting import described, effective_size, mix_report, restore_mix, reweight, shares
from unclip_curation.decisions.verdicts import decide, decided
from unclip_curation.policy import Policy, load_policy
from unclip_curation.reports.policy_pages import mix_page
from unclip_curation.scorers import registry
from unclip_pairs.errors import UserError
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store


def test_weights_restore_the_share_of_a_group_that_a_filter_thinned_out() -> None:
    rng = np.random.default_rng(0)
    member = np.arange(1000) < 300
    captions = [f"a {'cat' if cat else 'dog'} number {rng.integers(50)}" for cat in member]
    stays = ~(member & (rng.random(1000) < 0.6))
    mix = restore_mix(described(captions), stays)
    assert member[stays].mean() < 0.18 and abs(mix.weights[member].sum() / mix.weights.sum() - 0.3) < 0.02
    assert mix.weights[~stays].sum() == 0 and mix.weights[stays].mean() == pytest.approx(1)
    assert 0.6 < mix.effective / stays.sum() < 1 and mix.auc > 0.75 and mix.clipped == 0
    cat = shares({"cat": np.flatnonzero(member)}, stays, mix.weights)[0]
    assert cat.after < cat.before == 0.3 and abs(cat.restored - 0.3) < 0.02


def test_pictures_count_beside_words() -> None:
    vectors = np.eye(2, dtype=np.float32)[[0, 1]]
    assert described(["a cat", "a dog"], vectors).shape == (2, described(["a cat"]).shape[1] + 2)


def test_equal_weights_lose_nothing() -> None:
    assert effective_size(np.ones(7)) == 7 and effective_size(np.array([1.0, 0.0])) == 1


def test_too_few_rows_to_learn_from_are_refused() -> None:
    with pytest.raises(UserError, match="3 rows go and 27 stay"):
        restore_mix(described(["word"] * 30), np.arange(30) >= 3)


def test_weights_reach_the_verdicts_when_the_policy_says_so(store: Store, crawl_batch: Any, draw: Any) -> None:
    shown = draw("circle", "red")
    rows = [
        {"caption": f"a {'cat' if i % 3 else 'dog'} of kind {i}", "image": shown, "original_side": 10 if i % 3 == 0 and i % 2 else 60}
        for i in range(120)
    ]
    crawl_batch(rows)
    registry.score(store, "a", ["picture", "caption"], workers=1)
    policy = load_policy()
    decide(store, "rule", Policy(policy.settings | {"min_side": 5}, policy.sql))
    everything = read_table(store.path("verdicts/rule.parquet"))
    decide(store, "rule", policy)
    # the stage before is the whole crawl here, the stage after the rule stage
    write_parquet(store, "verdicts/before.parquet", everything)
    store.write_bytes("verdicts/before.json", store.read_bytes("verdicts/rule.json"))
    manifest = reweight(store, "before", "rule")
    assert manifest.counts["rows"] == 100 and manifest.counts["effective_rows"] < 100
    page = mix_page(store)
    assert "dog" in page and mix_report(store)["words"][0].word in ("cat", "dog")
    chosen = Policy(policy.settings | {"reweigh": True, "scorers": ["picture", "caption"]}, policy.sql)
    weights = {row["key"]: row["weight"] for row in read_table(store.path("features/reweighting.parquet")).to_pylist()}
    for row in decided(store, "rule", chosen).to_pylist():
        assert row["weight"] == pytest.approx(weights.get(row["key"], 0))
    assert {row["weight"] for row in decided(store, "rule", policy).to_pylist()} == {0.0, 1.0}

"""Tests of decisions: every row has a verdict with its reasons, nothing unscored passes, a changed policy shows its effect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pyarrow.parquet import read_table, write_table

from unclip_curation.decisions import checks
from unclip_curation.decisions.explain import explain
from unclip_curation.decisions.policy_diff import policy_diff
from unclip_curation.decisions.reproduce import reproduce
from unclip_curation.decisions.verdicts import counts, decide, decided
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.policy import Policy, load_policy
from unclip_curation.schemas import VERDICT_SCHEMA
from unclip_curation.scorers import registry
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.scorers.captions import CAPTION
from unclip_curation.scorers.explicit import SAFETY, STARTER_BLOCK_LIST
from unclip_curation.scorers.faces import FACES
from unclip_curation.scorers.pictures import PICTURE
from unclip_curation.scorers.runner import score_together
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.store import Store

Rows = list[dict[str, Any]]


def rule_reasons(store: Store, policy: Policy | None = None) -> dict[str, list[str]]:
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", policy or load_policy())
    return {row["key"]: row["reasons"] for row in read_table(store.path("verdicts/rule.parquet")).to_pylist()}


def curate(store: Store, policy: Policy) -> None:
    rule_reasons(store, policy)
    registry.score(store, "a", ["safety", "faces", "blocklist"], workers=1)
    score_agreement(store)
    decide(store, "safety", policy)
    find_duplicates(store)
    decide(store, "duplicate", policy)
    decide(store, "final", policy)


def test_each_rule_gives_its_reason(store: Store, crawl_batch: Callable[..., list[str]], draw: Callable[..., Image.Image]) -> None:
    good, big = draw("circle", "red"), draw("cross", "blue", 4)
    rows: Rows = [
        {"caption": "a red circle on white", "image": good},
        {"caption": "a slow picture", "status": "timeout"},
        {"caption": "a blank picture", "image": Image.new("RGB", (64, 64), "white")},
        {"caption": "a broken picture", "data": b"not a picture"},
        {"caption": "x", "image": big},
        {"caption": "word " * 100, "image": big},
        {"caption": "ein blauer Kreis auf weißem Grund", "image": big},
        {"caption": "Синий круг", "image": big},
        {"caption": "a blue cross, write to anna@example.org", "image": big},
        {"caption": "IMG_0001.jpg", "image": big},
        {"caption": "a blue cross", "image": big, "licence": "CC-BY-NC-4.0"},
        {"caption": "a blue cross of nobody", "image": big, "licence": None},
        {"caption": "a small cross", "image": big, "original_side": 10},
    ]
    expected = [
        "",
        "timeout",
        "blank",
        "not_an_image",
        "caption_short",
        "caption_long",
        "caption_language",
        "caption_language",
        "caption_email",
    ]
    expected += ["caption_boilerplate", "licence_denied", "licence_denied", "too_small_side"]
    keys = crawl_batch(rows)
    reasons = rule_reasons(store)
    assert [",".join(reasons[key]) for key in keys] == expected
    assert checks.verdicts_have_reasons(store, "rule") == []
    assert counts(store, "rule")["kept"] == 1 and counts(store, "rule")["rows"] == len(rows)


def test_a_caption_that_stands_under_many_pictures_is_boilerplate(store: Store, crawl_batch: Any, draw: Any) -> None:
    rows = [{"caption": "our lovely collection of shapes", "image": draw("circle", "red", seed)} for seed in range(13)]
    crawl_batch([*rows, {"caption": "a single circle", "image": draw("circle", "blue", 99)}])
    assert sorted(map(len, rule_reasons(store).values())) == [0, *[1] * 13]


def test_a_stage_that_lacks_scores_refuses_to_decide(store: Store, crawl_batch: Any, shapes: Any) -> None:
    policy = load_policy()
    with pytest.raises(UserError, match="no finished crawl batch"):
        decide(store, "rule", policy)
    crawl_batch(shapes(4))
    with pytest.raises(UserError, match="run the scorers"):
        decide(store, "rule", policy)
    keys = sorted(rule_reasons(store))
    score_together(store, "a", [SAFETY, FACES], set(keys[:2]), workers=1)
    registry.score(store, "a", ["blocklist"])
    score_agreement(store)
    with pytest.raises(UserError, match="2 kept rows have no safety scores"):
        decide(store, "safety", policy)
    with pytest.raises(UserError, match="choose one of"):
        decide(store, "lunch", policy)


def test_a_later_stage_never_takes_a_row_back(store: Store, crawl_batch: Any, shapes: Any, draw: Any) -> None:
    policy = load_policy()
    copy = {"caption": "once more", "image": draw("circle", "red", 0), "url": "http://a.test/again.png"}
    keys = crawl_batch([*shapes(6), copy, {"caption": "gone", "status": "http_error"}])
    curate(store, policy)
    final = read_table(store.path("verdicts/final.parquet"))
    assert final.schema.equals(VERDICT_SCHEMA) and final.num_rows == 8
    rows = {row["key"]: row for row in final.to_pylist()}
    assert rows[keys[6]]["reasons"] == ["duplicate_exact"], "the longer caption stays"
    assert rows[keys[7]]["reasons"] == ["http_error"] and rows[keys[7]]["weight"] == 0 and rows[keys[0]]["weight"] == 1
    assert checks.row_counts_only_fall(store, "final") == []
    before = store.path("verdicts/final.parquet").stat().st_mtime_ns
    decide(store, "final", policy)
    assert store.path("verdicts/final.parquet").stat().st_mtime_ns == before
    text = explain(store, keys[6])
    assert "duplicate_exact" in text and f"like {keys[0]} (stays)" in text and "same_bytes" in text
    with pytest.raises(UserError, match="nobody"):
        explain(store, "nobody")


def test_a_stage_that_was_decided_anew_is_not_measured_by_older_ones_after_it(store: Store, crawl_batch: Any, shapes: Any) -> None:
    """A stricter rule stage is right by itself; the safety stage is behind it until it is decided again."""
    policy = load_policy()
    crawl_batch(shapes(6))
    curate(store, policy)
    decide(store, "rule", Policy(policy.settings | {"min_side": 10_000}, policy.sql))
    assert checks.row_counts_only_fall(store, "rule") == []
    assert checks.row_counts_only_fall(store, "safety") == ["the stage safety keeps 6 rows that the stage rule dropped"]


def test_a_policy_diff_names_who_comes_and_goes(store: Store, crawl_batch: Any, draw: Any, tmp_path: Path) -> None:
    shapes = [{"caption": "a circle", "image": draw("circle", "red", 1), "original_side": side} for side in (30, 60)]
    other = {"caption": "a cross", "image": draw("cross", "blue", 2), "licence": "CC-BY-NC-4.0", "url": "http://a.test/x.png"}
    keys = crawl_batch([*shapes, other])
    rule_reasons(store)
    path = tmp_path / "mine.yaml"
    path.write_text("min_side: 50\nlicences: [CC0-1.0, CC-BY-NC-4.0]\n")
    diff = policy_diff(store, load_policy(), load_policy(path), "rule")
    assert diff.went == {"too_small_side": [keys[0]]} and diff.came == {"licence_denied": [keys[2]]}
    assert (diff.kept_a, diff.kept_b) == (2, 2)


@pytest.mark.parametrize(("change", "said"), [(("'blank'", "'ugly'"), "ugly"), (("CREATE VIEW", "CREATE VIEWS"), "SQL does not run")])
def test_sql_of_ones_own_keeps_to_the_closed_list(store: Store, crawl_batch: Any, draw: Any, change: tuple[str, str], said: str) -> None:
    crawl_batch([{"caption": "a blank one", "image": Image.new("RGB", (64, 64), "white")}])
    rule_reasons(store)
    policy = load_policy()
    with pytest.raises(UserError, match=said) as error:
        decided(store, "rule", Policy(policy.settings, policy.sql.replace(*change)))
    assert "\n" not in str(error.value)


def test_listed_pictures_are_explicit_even_when_another_rule_drops_them(store: Store, crawl_batch: Any, shapes: Any, draw: Any) -> None:
    listed = draw("triangle", "red", 1, side=128)
    keys = crawl_batch([*shapes(4), {"caption": "a listed one", "image": listed, "licence": None}])
    registry.score(store, "a", ["picture"], workers=1)
    pdq = {row["key"]: row["pdq"] for row in read_table(store.path("features/a/picture.parquet")).to_pylist()}[keys[4]]
    store.write_json(STARTER_BLOCK_LIST, {"hashes": [{"pdq": pdq.hex(), "label": "stand-in"}]})
    rule_reasons(store)
    registry.score(store, "a", ["safety", "faces", "blocklist"], workers=1)
    score_agreement(store)
    decide(store, "safety", load_policy())
    rows = {row["key"]: row for row in read_table(store.path("verdicts/safety.parquet")).to_pylist()}
    assert rows[keys[4]]["reasons"] == ["explicit", "licence_denied"] and rows[keys[0]]["keep"]


def test_a_pair_that_two_batches_met_counts_once_and_as_stored(store: Store, crawl_batch: Any, draw: Any) -> None:
    row = {"caption": "a circle", "image": draw("circle", "red", 1)}
    gone = {"caption": "a circle", "status": "timeout", "url": "http://a.test/0.png", "fetched_at": "2030-01-01"}
    first = crawl_batch([row | {"url": "http://a.test/0.png"}])
    second = crawl_batch([gone, {"caption": "a cross", "image": draw("cross", "blue", 2), "url": "http://a.test/1.png"}], batch="b")
    assert first[0] == second[0]
    for batch in ("a", "b"):
        registry.score(store, batch, ["picture", "caption"], workers=1)
    decide(store, "rule", load_policy())
    rows = read_table(store.path("verdicts/rule.parquet")).to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(second) and all(row["keep"] for row in rows)


def test_a_scorer_that_the_policy_does_not_name_may_be_missing(store: Store, crawl_batch: Any, shapes: Any) -> None:
    crawl_batch(shapes(3))
    registry.score(store, "a", ["picture"], workers=1)
    policy = load_policy()
    lenient = Policy(policy.settings | {"scorers": ["picture"]}, policy.sql)
    with pytest.raises(UserError, match="caption"):
        decided(store, "rule", policy)
    assert decided(store, "rule", lenient)["keep"].to_pylist() == [True] * 3


def test_every_verdict_can_be_made_again_from_what_its_manifest_names(store: Store, crawl_batch: Any, shapes: Any, draw: Any) -> None:
    keys = crawl_batch([*shapes(6), {"caption": "once more", "image": draw("circle", "red", 0), "url": "http://a.test/again.png"}])
    loaded = load_policy()
    mine = Policy(loaded.settings | {"min_side": 20}, loaded.sql + "\n-- words of my own")
    curate(store, mine)
    for stage in ("rule", "safety", "duplicate", "final"):
        found = reproduce(store, stage)
        assert found.objections == [] and found.rows == 7 and found.policy_version == mine.version
        assert found.measured.items() >= {"picture": str(PICTURE.version), "caption": str(CAPTION.version)}.items()
    path = store.path("verdicts/final.parquet")
    manifest, rows = store.read_json("verdicts/final.json"), read_table(path)
    forged = rows.set_column(1, "keep", [[True] * 7])
    write_table(forged, path)
    assert reproduce(store, "final").objections == ["verdicts/final.parquet was changed after it was written"]
    write_manifest(store, "verdicts/final.json", make_manifest(store, "verdicts", ["verdicts/final.parquet"], **kept_of(manifest)))
    assert reproduce(store, "final").objections == [f"1 verdicts come out otherwise, such as {keys[6]}"]


def test_verdicts_of_columns_that_changed_are_not_proved(store: Store, crawl_batch: Any, shapes: Any) -> None:
    crawl_batch(shapes(3))
    rule_reasons(store)
    crawl_batch(shapes(2), batch="b")
    with pytest.raises(UserError, match="run the scorers"):
        reproduce(store, "rule")
    registry.score(store, "b", ["picture", "caption"], workers=1)
    came = ["crawl/b/manifest", "features/b/caption", "features/b/picture"]
    assert reproduce(store, "rule").objections == [f"{name} came since; decide the stage again" for name in came]


def kept_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: manifest[name] for name in ("inputs", "settings", "counts")}

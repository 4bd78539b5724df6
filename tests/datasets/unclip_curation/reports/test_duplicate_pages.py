"""Tests of the page of duplicates: the biggest group first, who stays and why, borderline pairs on both sides of the threshold."""

from typing import Any

import pytest

from unclip_curation.decisions.verdicts import decide, read_verdicts
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.policy import Policy, load_policy
from unclip_curation.reports.duplicate_pages import borderline, duplicates_page, find_groups
from unclip_curation.scorers import registry
from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

DEFAULT = load_policy()
POLICY = Policy(DEFAULT.settings | {"scorers": ["picture", "caption", "duplicates"]}, DEFAULT.sql)


def test_a_page_shows_who_stays_and_why(store: Store, crawl_batch: Any, draw: Any) -> None:
    image, other = draw("circle", "red", 1, side=160), draw("cross", "blue", 2, side=160)
    rows = [{"caption": f"<b>copy {number}</b>", "image": image, "original_side": 100 + number} for number in range(3)]
    rows += [{"caption": "short", "image": other}, {"caption": "a longer caption", "image": other}]
    rows.append({"caption": "turned", "image": draw("triangle", "green", 5, side=160).rotate(90)})
    rows.append({"caption": "upright", "image": draw("triangle", "green", 5, side=160)})
    keys = crawl_batch(rows)
    registry.score(store, "a", ["picture", "caption"], workers=1)
    for stage in ("rule", "safety"):
        decide(store, stage, POLICY)
    with pytest.raises(UserError, match="search for duplicates first"):
        find_groups(store, POLICY)
    find_duplicates(store)
    decide(store, "duplicate", POLICY)
    first, second = find_groups(store, POLICY)
    assert (first.stays, first.why, len(first.members)) == (keys[2], "the larger original, 102 x 102 pixels", 3)
    assert (second.stays, second.why) == (keys[4], "the longest caption")
    assert [member["reason"] for member in second.members] == ["", "duplicate_exact"]
    verdicts = {row["key"]: row["reasons"] for row in read_verdicts(store, "duplicate").to_pylist()}
    said = {member["key"]: [member["reason"]] if member["reason"] else [] for group in (first, second) for member in group.members}
    assert said == {key: verdicts[key] for key in said}
    (pair,) = borderline(store, POLICY, 10)
    assert {pair["a"], pair["b"]} == {keys[5], keys[6]} and pair["rotation"] in (90, 270) and pair["reasons"] == []
    text = duplicates_page(store, POLICY, [first, second], 10)
    assert text.count("data:image/jpeg") == 7 and "&lt;b&gt;copy" in text and "<b>copy" not in text
    assert "turned 90°" in text or "turned 270°" in text


def test_why_a_picture_stays_is_said_by_the_policys_own_ranking(store: Store, crawl_batch: Any, draw: Any) -> None:
    image = draw("circle", "red", 1, side=160)
    keys = crawl_batch([{"caption": "a small drawing", "image": image, "original_side": 100}, {"caption": "large", "image": image}])
    registry.score(store, "a", ["picture", "caption"], workers=1)
    for stage in ("rule", "safety"):
        decide(store, stage, POLICY)
    find_duplicates(store)
    (group,) = find_groups(store, POLICY)
    assert (group.stays, group.why) == (keys[1], "the larger original, 160 x 160 pixels")
    longest_first = POLICY.sql.replace("-original_width::DOUBLE * original_height", "-length(caption)").replace(
        "format('the larger original, {} x {} pixels', original_width, original_height)", "'the longest caption'"
    )
    (group,) = find_groups(store, Policy(POLICY.settings, longest_first))
    assert (group.stays, group.why) == (keys[0], "the longest caption")
    bare = POLICY.sql + "CREATE OR REPLACE VIEW standing AS SELECT key, row_number() OVER (ORDER BY key) AS place FROM contested;"
    (group,) = find_groups(store, Policy(POLICY.settings, bare))
    assert (group.stays, group.why) == (min(keys), "it stands first by the policy's SQL")

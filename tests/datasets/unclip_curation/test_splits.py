"""Tests of splits: validation is chosen by the key alone, so no pair changes sides, and no training sees it."""

import pyarrow as pa
import pytest

from unclip_curation.splits import HELD_OUT_KEYS, VALIDATION_KEYS, choose_validation, read_keys, validation_keys, withheld, write_keys
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import pair_key
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

KEYS = [pair_key(f"http://a.test/{number}.png", "a dog") for number in range(4000)]


def test_a_twentieth_is_validation_and_stays_so_when_the_crawl_grows() -> None:
    few, many = set(validation_keys(set(KEYS[:2000]))), set(validation_keys(set(KEYS)))
    assert 0.04 * 4000 < len(many) < 0.06 * 4000
    assert few == many & set(KEYS[:2000])


def test_a_set_of_twenty_has_a_validation_pair_and_a_smaller_one_need_not() -> None:
    plain = sorted(set(KEYS) - set(validation_keys(set(KEYS))))
    assert len(validation_keys(set(plain[:20]))) == 1 and validation_keys(set(plain[:19])) == []


def test_held_out_pairs_are_not_validation_and_both_are_withheld(store: Store) -> None:
    with pytest.raises(UserError, match="decide the stage 'safety' first"):
        choose_validation(store)
    write_parquet(store, "verdicts/safety.parquet", pa.table({"key": KEYS, "keep": [True] * len(KEYS)}))
    write_manifest(store, "verdicts/safety.json", make_manifest(store, "verdicts", ["verdicts/safety.parquet"]))
    held = validation_keys(set(KEYS))[:3]
    write_keys(store, HELD_OUT_KEYS, held)
    manifest = choose_validation(store)
    assert choose_validation(store).created == manifest.created
    assert not read_keys(store, VALIDATION_KEYS) & set(held) and withheld(store) == set(validation_keys(set(KEYS)))


def test_nothing_is_withheld_where_nobody_set_anything_apart(store: Store) -> None:
    assert withheld(store) == set()

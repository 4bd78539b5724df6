"""Tests of rounds: what is asked about, the probe that comes of it, and the policy that names it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow.parquet import read_table

from unclip_curation.decisions.rules import STAGES
from unclip_curation.decisions.verdicts import decided
from unclip_curation.policy import load_policy
from unclip_curation.scorers.probes import load_probe, score_probes
from unclip_curation.tables import PER_BATCH, PER_STORE
from unclip_labels.label_store import HELD_OUT, TRAIN, LabelStore, open_labels
from unclip_labels.pool import is_held_out, read_pool
from unclip_labels.rounds import RoundSettings, next_round, standing, train
from unclip_labels.specifications import read_specification
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.schema import CRAWL_SCHEMA
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

PAGE = Path(__file__).parents[3] / "docs/specifications/weapons.md"
EMBEDDINGS, ROWS, DIM = "0badcafe", 400, 16
KEYS = [f"{number:020x}" for number in range(ROWS)]


def is_weapon(key: str) -> bool:
    return int(key, 16) % 5 == 0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A crawl of 400 pairs with vectors in which every fifth, a sword, lies apart."""
    made, rng = open_store(tmp_path / "home"), np.random.default_rng(0)
    vectors = rng.normal(size=(ROWS, DIM)).astype(np.float32)
    vectors[[is_weapon(key) for key in KEYS], 0] += 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        {"key": key, "status": "ok", "url": key, "caption": "a", "licence": "MIT", "original_width": 99, "original_height": 99}
        for key in KEYS
    ]
    write_parquet(made, "crawl/a/rows.parquet", pa.Table.from_pylist(rows, schema=CRAWL_SCHEMA))
    write_manifest(made, "crawl/a/manifest.json", make_manifest(made, "crawl", ["crawl/a/rows.parquet"]))
    name = f"embeddings/{EMBEDDINGS}/a"
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    write_parquet(made, f"{name}.parquet", pa.table({"key": KEYS, "clip_image": column, "similarity": np.ones(ROWS, np.float32)}))
    captions = ["a drawing of a sword" if is_weapon(key) else "a drawing of a flower" for key in KEYS]
    write_parquet(made, f"{name}/metadata/metadata_0.parquet", pa.table({"key": KEYS, "caption": captions}))
    write_manifest(made, f"{name}.json", make_manifest(made, "embeddings", [f"{name}.parquet"]))
    return made


@pytest.fixture
def book(store: Store) -> LabelStore:
    found = open_labels(store)
    found.define(read_specification(PAGE))
    return found


def answer_all(book: LabelStore) -> None:
    """Two raters who always know say what they see."""
    for rater in ("anna", "ben"):
        while item := book.next_item("weapons", rater):
            book.label("weapons", item.key, rater, "yes" if is_weapon(item.key) else "no")


def test_the_first_round_asks_for_seeds_and_some_by_chance(store: Store, book: LabelStore) -> None:
    asked = next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=40, held_out=0.25, two_raters=0.2)).asked
    assert asked == {"seed": 15, "random": 15, "held_out": 10}
    items = book.items("weapons")
    assert all(is_weapon(item.key) for item in items if item.why == "seed")
    assert {is_held_out("weapons", item.key) for item in items if item.part == HELD_OUT} == {True}
    assert {is_held_out("weapons", item.key) for item in items if item.part == TRAIN} == {False}
    assert sum(item.raters == 2 for item in items) == 8


def test_later_rounds_ask_about_what_the_probe_is_unsure_of_and_never_twice(store: Store, book: LabelStore) -> None:
    next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=40))
    answer_all(book)
    asked = next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=40)).asked
    assert asked == {"uncertain": 28, "held_out": 12}
    assert len({item.key for item in book.items("weapons")}) == 80


@pytest.mark.parametrize("kind", ["logistic", "rbf"])
def test_a_trained_probe_is_whole_and_says_what_it_is_worth(store: Store, book: LabelStore, kind: str) -> None:
    for _ in range(3):
        next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=60))
        answer_all(book)
    made = train(store, book, "weapons", EMBEDDINGS, kind, target=0.99)
    assert load_probe(store, "weapons", made.probe.version).version == made.probe.version
    pool = read_pool(store, EMBEDDINGS)
    scores, truth = made.probe.scores(pool.vectors), np.array([is_weapon(key) for key in pool.keys])
    assert (scores[truth] >= made.threshold.value).mean() > 0.9
    assert 0.6 < made.threshold.recall_low < made.threshold.recall_high < made.threshold.recall == 1
    assert store.exists(f"{made.probe.folder}/reliability.png")
    assert train(store, book, "weapons", EMBEDDINGS, kind, target=0.99).probe.version == made.probe.version
    told = "\n".join(standing(store, book, "weapons"))
    assert made.probe.version in told and "anna and ben: same answer" in told


def test_without_held_out_labels_no_threshold_is_chosen(store: Store, book: LabelStore) -> None:
    next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=40, held_out=0))
    answer_all(book)
    with pytest.raises(UserError, match="held-out"):
        train(store, book, "weapons", EMBEDDINGS)
    assert store.names("probes/") == []


def bare_policy(folder: Path, probes: str) -> Path:
    """A policy that asks for nothing but crawl, embeddings and a probe."""
    path = folder / "policy.yaml"
    path.write_text(f"scorers: []\nprobes: {probes}\n")
    return path


def test_a_policy_names_a_probe_and_its_threshold_decides(store: Store, book: LabelStore, tmp_path: Path) -> None:
    next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=120, held_out=0.4))
    answer_all(book)
    made = train(store, book, "weapons", EMBEDDINGS, target=0.95)
    named = f"{{weapons: {{probe: '{made.probe.version}', threshold: {made.threshold.value!r}}}}}"
    policy = load_policy(bare_policy(tmp_path, named))
    assert {*PER_STORE, *PER_BATCH} >= {"probe"} and STAGES[-1] == "final"
    with pytest.raises(UserError, match=r"features/probe\.json"):
        decided(store, "final", policy, EMBEDDINGS)
    score_probes(store, EMBEDDINGS)
    rows = decided(store, "final", policy, EMBEDDINGS).to_pylist()
    pool = read_pool(store, EMBEDDINGS)
    above = {key for key, score in zip(pool.keys, made.probe.scores(pool.vectors), strict=True) if score >= made.threshold.value}
    assert {row["key"] for row in rows if "category_probe" in row["reasons"]} == above
    other = load_policy(bare_policy(tmp_path, "{weapons: {probe: '000000000000', threshold: 0.5}}"))
    with pytest.raises(UserError, match="no score by the probe '000000000000'"):
        decided(store, "final", other, EMBEDDINGS)
    assert other.version != policy.version


def test_a_probe_that_is_named_wrongly_is_refused(tmp_path: Path) -> None:
    for probes in ("{weapons: 3f}", "{weapons: {probe: 3f}}", "{weapons: {probe: '3f', threshold: 2}}", "[weapons]"):
        with pytest.raises(UserError, match="probes in"):
            load_policy(bare_policy(tmp_path, probes))


def test_new_pictures_are_scored_and_old_scores_stay(store: Store, book: LabelStore) -> None:
    next_round(store, book, "weapons", EMBEDDINGS, RoundSettings(count=120, held_out=0.4))
    answer_all(book)
    train(store, book, "weapons", EMBEDDINGS)
    first = score_probes(store, EMBEDDINGS)
    assert score_probes(store, EMBEDDINGS) == first
    assert read_table(store.path("features/probe.parquet")).num_rows == ROWS
    train(store, book, "weapons", EMBEDDINGS, "rbf")
    assert score_probes(store, EMBEDDINGS).counts["rows"] == 2 * ROWS

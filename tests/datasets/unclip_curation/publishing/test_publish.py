"""Tests of embeddings and publication: versions that never change, held-out rows apart, planted defects measured."""

import io
import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow.parquet import read_table

from unclip_curation.caption_lists import CAPTION_LIST_SCHEMA
from unclip_curation.decisions import checks
from unclip_curation.decisions.ground_truth import LABEL_SCHEMA, hold_out, planted_report, starter_labels
from unclip_curation.decisions.takedown_effects import meant_by, remaining_files, still_published
from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.leaks import published_leaks
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.features import required
from unclip_curation.policy import Policy, load_policy
from unclip_curation.publishing.data_card import MeasuredThreshold, NamedProbe, data_card
from unclip_curation.publishing.data_card_page import card_page
from unclip_curation.publishing.documents import PUBLISHED_SCHEMA
from unclip_curation.publishing.publish import publish
from unclip_curation.scorers import registry
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.search.retrieval import ExactEngine, SearchQuery, search
from unclip_curation.search.visibility import Visibility
from unclip_curation.splits import VALIDATION_KEYS, write_keys
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import decode
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.shards import read_shard, write_parquet
from unclip_pairs.store import Store
from unclip_pairs.takedowns import read_takedowns, record


class Projection:
    """An embedder without training: mean colours of a 4 x 4 grid; words hashed to directions."""

    dim, digest = 48, "0123456789abcdef" * 4

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = batch.shape[1] // 4, batch.shape[2] // 4
        means = batch.reshape(len(batch), 4, height, 4, width, 3).mean((2, 4)).reshape(len(batch), -1) - 128
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)

    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dim) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


FOLDER = Projection.digest[:8]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, crawl_into: Callable[..., list[str]], shapes: Callable[..., Any]
) -> tuple[Store, list[str], Policy]:
    """Ten kept rows and one dropped, decided to the end."""
    store, policy = open_store(tmp_path_factory.mktemp("finished")), load_policy()
    keys = crawl_into(store, [*shapes(10), {"caption": "gone", "status": "timeout"}])
    registry.score(store, "a", ["picture", "caption"], workers=1)
    decide(store, "rule", policy)
    registry.score(store, "a", ["safety", "faces", "blocklist"], workers=1)
    score_agreement(store)
    decide(store, "safety", policy)
    embed_pairs(store, "a", Projection())
    find_duplicates(store, FOLDER)
    decide(store, "duplicate", policy)
    decide(store, "final", policy, FOLDER)
    return store, keys, policy


@pytest.fixture
def curated(finished: tuple[Store, list[str], Policy], tmp_path: Path) -> tuple[Store, list[str], Policy]:
    """A copy of `finished` that a test may change."""
    store, keys, policy = finished
    shutil.copytree(store.root, tmp_path / "copy")
    return open_store(tmp_path / "copy"), keys, policy


def labels_of(keys: list[str]) -> pa.Table:
    rows = [{"concept": f"c{number // 2}", "concept_label": "shape", "style": f"s{number % 2}"} for number in range(10)]
    split = ["held_out" if number in (3, 6) else "train" for number in range(10)]
    facts = [{"key": key, "attributes": json.dumps({"credit": "Us"}), "split": one} for key, one in zip(keys, split, strict=True)]
    return pa.Table.from_pylist([row | fact for row, fact in zip(rows, facts, strict=True)], schema=LABEL_SCHEMA)


def test_a_version_holds_everything_a_training_needs(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    manifest = publish(store, policy, labels_of(keys[:10]), FOLDER)
    version = manifest.settings["version"]
    assert manifest.counts == {"train": 8, "held_out": 2, "validation": 0}
    samples = list(read_shard(store, f"datasets/{version}/train-00000"))
    assert [sample["__key__"] for sample in samples] == sorted(set(keys[:10]) - {keys[3], keys[6]})
    assert set(samples[0]) == {"__key__", "png", "txt", "captions.json", "json", "clip_image.npy", "clip_text.npy"}
    assert json.loads(samples[0]["captions.json"]) == [samples[0]["txt"].decode()]
    vector = np.load(io.BytesIO(samples[0]["clip_image.npy"]), allow_pickle=False)
    assert vector.shape == (48,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    sidecar = read_table(store.path(f"datasets/{version}/held_out-00000.parquet"))
    assert sidecar.schema.equals(PUBLISHED_SCHEMA) and sorted(sidecar["key"].to_pylist()) == sorted([keys[3], keys[6]])
    assert json.loads(samples[0]["json"])["weight"] == 1
    card = store.read_bytes(f"datasets/{version}/card.md").decode()
    assert version in card and "| CC0-1.0 | 10 |" in card and "| timeout | 1 |" in card and "| Us | 10 |" in card
    assert checks.published_is_safe(store, version, policy) == [] and checks.nothing_leaks(store, version) == []


def test_the_same_inputs_give_the_same_version_and_bytes(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    first = publish(store, policy, labels_of(keys[:10]), FOLDER)
    version = first.settings["version"]
    tar = store.read_bytes(f"datasets/{version}/train-00000.tar")
    assert publish(store, policy, labels_of(keys[:10]), FOLDER) == first
    for name in ("manifest.json", "train-00000.json"):
        store.path(f"datasets/{version}/{name}").unlink()
    again = publish(store, policy, labels_of(keys[:10]), FOLDER)
    assert store.read_bytes(f"datasets/{version}/train-00000.tar") == tar and again.settings == first.settings
    assert publish(store, policy, None, FOLDER).settings["version"] != version, "other labels, another version"


def test_a_dataset_loads_with_plain_webdataset_tools(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    version = publish(store, policy, None, FOLDER).settings["version"]
    with tarfile.open(store.path(f"datasets/{version}/train-00000.tar")) as tar:
        names = tar.getnames()
    endings = ("png", "txt", "captions.json", "json", "clip_image.npy", "clip_text.npy")
    assert len(names) == 6 * 10 and names[:6] == [f"{min(keys[:10])}.{ending}" for ending in endings]


def test_a_version_holds_the_chosen_captions_and_says_where_they_come_from(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    lists = [{"key": keys[0], "texts": ["a round thing", "Red and round."], "sources": ["title", "text_after"]}]
    write_parquet(store, "verdicts/captions.parquet", pa.Table.from_pylist(lists, schema=CAPTION_LIST_SCHEMA))
    inputs = {"verdicts/safety": required(store, "verdicts/safety.json", "").digest}
    write_manifest(store, "verdicts/captions.json", make_manifest(store, "verdicts", ["verdicts/captions.parquet"], inputs=inputs))
    folder = f"datasets/{publish(store, policy, None, FOLDER).settings['version']}"
    samples = {sample["__key__"]: sample for sample in read_shard(store, f"{folder}/train-00000")}
    captions = json.loads(samples[keys[0]]["captions.json"])
    assert captions == [samples[keys[0]]["txt"].decode(), "a round thing", "Red and round."]
    rows = {row["key"]: row["captions"] for row in read_table(store.path(f"{folder}/rows.parquet")).to_pylist()}
    assert rows[keys[0]] == captions and len(rows[keys[1]]) == 1
    card = store.read_bytes(f"{folder}/card.md").decode()
    assert "1.20 captions on average" in card and "| title | 1 |" in card and "| the sentence behind the picture | 1 |" in card


def test_validation_pairs_are_apart_and_in_no_training(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    hold_out(store, labels_of(keys[:10]))
    write_keys(store, VALIDATION_KEYS, [keys[0], keys[3]])
    manifest = publish(store, policy, labels_of(keys[:10]), FOLDER)
    version = str(manifest.settings["version"])
    assert manifest.counts == {"train": 7, "held_out": 2, "validation": 1}
    assert checks.published(store, version, "validation", "key") == [keys[0]] and checks.nothing_leaks(store, version) == []
    assert published_leaks(store, version, policy, FOLDER) == []


def test_prompts_of_the_ground_truth_travel_with_the_version(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    before = publish(store, policy, labels_of(keys[:10]), FOLDER).settings["version"]
    store.write_bytes("starter/prompts.json", b'{"format": 1, "sets": {}}')
    manifest = publish(store, policy, labels_of(keys[:10]), FOLDER)
    file = f"datasets/{manifest.settings['version']}/prompts.json"
    assert manifest.settings["version"] != before and file in manifest.files
    assert store.read_bytes(file) == b'{"format": 1, "sets": {}}'
    without = f"datasets/{publish(store, policy, None, FOLDER).settings['version']}/prompts.json"
    assert not store.exists(without)


def test_publishing_under_another_policy_or_without_embeddings_is_refused(curated: tuple[Store, list[str], Policy]) -> None:
    store, _, policy = curated
    with pytest.raises(UserError, match="decide all stages again"):
        publish(store, Policy(policy.settings | {"min_side": 1}, policy.sql), None, FOLDER)
    with pytest.raises(UserError, match="10 kept rows have no embedding"):
        publish(store, policy, None, "deadbeef")


def test_embeddings_are_made_once_and_searchable(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, _ = curated
    manifest = embed_pairs(store, "a", Projection())
    assert manifest.counts == {"rows": 10, "dim": 48}
    table = read_table(store.path(f"embeddings/{FOLDER}/a.parquet"))
    assert table["key"].to_pylist() == sorted(keys[:10])
    base = np.load(store.path(f"embeddings/{FOLDER}/a/img_emb/img_emb_0.npy"), allow_pickle=False)
    found = ExactEngine(store, f"embeddings/{FOLDER}").near("a", base[4], 3)
    assert found[0]["key"] == table["key"].to_pylist()[4] and found[0]["similarity"] == pytest.approx(1, abs=1e-5)


def test_planted_defects_are_measured_by_class(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, _ = curated
    assert planted_report(store) == {} and starter_labels(store) is None
    rows = [{"url_path": f"/a/{number}.png", "concept": "c", "split": "held_out" if number == 2 else "train"} for number in range(11)]
    rows[10] |= {"planted": "slow"}
    rows[1] |= {"planted": "blank"}
    names = ["url_path", *LABEL_SCHEMA.names[1:], "planted", "duplicate_of"]
    write_parquet(store, "starter/truth.parquet", pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names])))
    report = planted_report(store)
    assert report["slow"] == {"found": 1, "true": 1, "recall": 1.0, "precision": 1.0}
    assert report["blank"] == {"found": 0, "true": 1, "recall": 0.0, "precision": 1.0}
    labels = starter_labels(store)
    assert labels is not None and hold_out(store, labels).counts == {"rows": 1}
    assert read_table(store.path("verdicts/held_out.parquet"))["key"].to_pylist() == [keys[2]]
    assert hold_out(store, None).counts == {"rows": 0}


def test_what_is_taken_down_leaves_search_at_once_and_the_next_version(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    old = publish(store, policy, None, FOLDER).settings["version"]
    rows = {row["key"]: row for row in read_table(store.path("crawl/a/rows.parquet")).to_pylist()}
    requests = [
        meant_by(store, "key", keys[0]),
        meant_by(store, "url", rows[keys[1]]["url"] + "#part", "my own drawing", "somebody"),
        meant_by(store, "hash", f"sha256:{rows[keys[2]]['sha256']}"),
    ]
    assert [request.keys for request in requests] == [(keys[0],), (keys[1],), (keys[2],)]
    for request in requests:
        record(store, request)
    taken = read_takedowns(store)
    assert taken.keys == set(keys[:3]) and {request.requested_by for request in taken.requests} == {"", "somebody"}
    base = np.load(store.path(f"embeddings/{FOLDER}/a/img_emb/img_emb_0.npy"), allow_pickle=False)
    engine, visibility = ExactEngine(store, f"embeddings/{FOLDER}"), Visibility(store)
    shown = {row["key"] for vector in base for row in search(engine, visibility, vector, SearchQuery())}
    assert shown == set(keys[3:10])
    version = publish(store, policy, None, FOLDER).settings["version"]
    assert version != old and still_published(store, version, taken) == []
    assert still_published(store, old, taken) == [f"3 pairs in {old} were taken down; publish again"]
    assert checks.published(store, version, "train", "key") == sorted(keys[3:10])
    decide(store, "final", policy, FOLDER)
    reasons = {row["key"]: row["reasons"] for row in read_table(store.path("verdicts/final.parquet")).to_pylist()}
    assert [reasons[key] for key in keys[:4]] == [["taken_down"]] * 3 + [[]]
    assert remaining_files(store, set(keys[:3])) == ["crawl/a/shard-00000.tar"]


def test_a_host_stands_for_its_pairs_and_a_wrong_name_is_one_sentence(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, _ = curated
    host = read_table(store.path("crawl/a/rows.parquet"))["host"].to_pylist()[0]
    met = meant_by(store, "host", host)
    assert set(keys[:10]) <= set(met.keys) and met.sha256 == () and meant_by(store, "host", "elsewhere.test").keys == ()
    for kind, value in (("url", "ftp://a/b"), ("key", "zz"), ("host", "http://a.test"), ("hash", "abc")):
        with pytest.raises(UserError, match=f"--{kind}"):
            meant_by(store, kind, value)


def test_two_homes_with_the_same_pairs_publish_the_same_bytes(curated: tuple[Store, list[str], Policy], tmp_path: Path) -> None:
    store, keys, policy = curated
    shutil.copytree(store.root, tmp_path / "twin")
    first = publish(store, policy, labels_of(keys[:10]), FOLDER)
    second = publish(open_store(tmp_path / "twin"), policy, labels_of(keys[:10]), FOLDER)
    assert first.files == second.files and first.digest == second.digest
    stems = sorted(name.rpartition("/")[2] for name in first.files)
    shards = [f"{split}-00000.{kind}" for split in ("held_out", "train") for kind in ("json", "parquet", "tar")]
    assert stems == sorted([*shards, "card.html", "card.md", "croissant.json", "rows.parquet", "samples.png"])


def test_the_card_says_what_is_in_it_and_is_a_page_too(curated: tuple[Store, list[str], Policy]) -> None:
    store, keys, policy = curated
    version = publish(store, policy, labels_of(keys[:10]), FOLDER).settings["version"]
    card = store.read_bytes(f"datasets/{version}/card.md").decode()
    for heading in ("Licences and attribution", "Sources", "Languages", "Filters", "Measured error", "Known gaps", "Samples", "Made from"):
        assert f"\n## {heading}" in card
    assert "no error was measured" in card and "| a.test | 10 |" in card and "| en | " in card
    page = store.read_bytes(f"datasets/{version}/card.html").decode()
    assert "<td>a.test</td><td>10</td>" in page and '<img src="samples.png"' in page and "<script" not in page
    assert "<td>&lt;b&gt; | c</td>" in card_page("x", "| a |\n| --- |\n| <b> \\| c |")
    assert decode(store.read_bytes(f"datasets/{version}/samples.png")).width > 64


def test_the_card_gives_a_probe_its_recall_with_its_interval() -> None:
    found: MeasuredThreshold = {"value": 0.2, "recall": 0.99, "recall_low": 0.95, "recall_high": 0.999, "yes": 180, "dropped": 0.031}
    planted = {"blank": {"true": 4, "found": 4, "recall": 1.0, "precision": 0.8}}
    row = dict.fromkeys(PUBLISHED_SCHEMA.names) | {"split": "train", "host": "a.test"}
    probes: list[NamedProbe] = [{"category": "weapons", "version": "p-1", "threshold": found, "present": 0.15}]
    card = data_card([row], "v-1", load_policy(), {"rows": 9, "kept": 1, "blank": 4}, planted, {}, {"en": 1}, probes)
    assert "| weapons | p-1 | 0.15 | 0.2 | 180 | 0.990 (0.950 to 0.999) | 3.1% |" in card and "| blank | 4 | 4 | 1.000 | 0.800 |" in card
    many = [row | {"host": f"{number}.test"} for number in range(80)]
    assert "| 30 others | 30 |" in data_card(many, "v-1", load_policy(), {"rows": 80, "kept": 80}, {}, {}, {}, [])


CROISSANT = """
import io, json, sys
import mlcroissant
described = mlcroissant.Dataset(sys.argv[1])
issues = described.metadata.ctx.issues
rows = {row["pairs/key"].decode(): row["pairs/caption"].decode() for row in described.records("pairs")}
sizes = {row["images/key"].decode(): row["images/picture"].size for row in described.records("images")}
sys.stdout.write(json.dumps([sorted(issues.errors | issues.warnings), rows, sizes]))
"""


def test_croissant_is_valid_and_leads_to_rows_and_pictures(curated: tuple[Store, list[str], Policy], tmp_path: Path) -> None:
    """With MLCommons' own reader, in a process of its own: it caches under the home folder and leaves files open."""
    pytest.importorskip("mlcroissant")
    store, keys, policy = curated
    version = publish(store, policy, labels_of(keys[:10]), FOLDER).settings["version"]
    command = [sys.executable, "-W", "ignore", "-c", CROISSANT, str(store.path(f"datasets/{version}/croissant.json"))]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    )
    assert answer.returncode == 0 and "not standard" not in answer.stderr and "Could not match" not in answer.stderr, answer.stderr
    issues, rows, sizes = json.loads(answer.stdout)
    assert issues == [] and sorted(rows) == sorted(keys[:10]) and all(caption.startswith("drawing") for caption in rows.values())
    assert sizes == {key: [64, 64] for key in keys[:10]}


OUTSIDE = """
import importlib.util, sys
sys.path.append(sys.argv[1])
assert importlib.util.find_spec("unclip_pairs") is None
import numpy, webdataset
shard = sys.argv[2]
plain = list(webdataset.WebDataset(shard, shardshuffle=False).decode("pil"))
assert {one["png"].size for one in plain} == {(64, 64)} and all(one["clip_image.npy"].shape == (48,) for one in plain)
assert all(one["json"]["weight"] == 1 and one["txt"] == one["json"]["caption"] for one in plain)
from datasets import load_dataset
loaded = load_dataset("webdataset", data_files={"train": shard}, split="train", cache_dir=sys.argv[3])
assert sorted(loaded["__key__"]) == sorted(one["__key__"] for one in plain)
assert loaded[0]["png"].size == (64, 64) and loaded[0]["json"]["weight"] == 1 and loaded[0]["txt"].startswith("drawing")
sys.stdout.write(f"{len(plain)} {len(loaded)}")
"""


@pytest.mark.slow
def test_a_version_loads_outside_the_project(curated: tuple[Store, list[str], Policy], tmp_path: Path) -> None:
    """With plain webdataset and with Hugging Face datasets, offline, in a process that does not know our packages."""
    store, _, policy = curated
    version = publish(store, policy, None, FOLDER).settings["version"]
    shard = store.path(f"datasets/{version}/train-00000.tar")
    command = [sys.executable, "-S", "-W", "ignore", "-c", OUTSIDE, sysconfig.get_paths()["purelib"], str(shard), str(tmp_path / "cache")]
    alone = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=alone)
    assert (answer.returncode, answer.stdout) == (0, "10 10"), answer.stderr

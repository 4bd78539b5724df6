"""Tests of a home in a bucket: curation from the crawl to a published version, on two machines that share nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unclip_crawl.crawl import crawl
from unclip_crawl.settings import CrawlSettings
from unclip_curation.decisions.verdicts import decide
from unclip_curation.duplicates.search import find_duplicates
from unclip_curation.embeddings.embedding import embed_pairs
from unclip_curation.policy import load_policy
from unclip_curation.publishing.publish import publish
from unclip_curation.scorers.caption_agreement import score_agreement
from unclip_curation.scorers.registry import score
from unclip_curation.similarity.neighbours import nearest
from unclip_pairs.manifest import is_done, read_manifest
from unclip_pairs.object_store import ObjectStore
from unclip_pairs.shards import read_shard, shard_names

Opened = Callable[..., ObjectStore]


@pytest.fixture
def folder(tmp_path: Path, shapes: Callable[..., Any]) -> Path:
    """Twelve pictures with captions, as files."""
    made = tmp_path / "mine"
    made.mkdir()
    for number, row in enumerate(shapes(12)):
        row["image"].resize((160, 160)).save(made / f"{number:02d}.png")
        (made / f"{number:02d}.json").write_text(json.dumps({"caption": row["caption"], "licence": "CC0-1.0"}))
    return made


def test_curation_runs_on_a_bucket_and_goes_on_on_another_machine(opened: Opened, folder: Path, projection: Any) -> None:
    here, policy = opened("one"), load_policy()
    settings = CrawlSettings(batch="a", contact="me@a.test", folders=(str(folder),))
    assert crawl(here, settings).counts["ok"] == 12
    assert not here.names("crawl/a/open/") and not here.names("crawl/a/journal/") and "crawl/a/lock" not in here.names()
    score(here, "a", ["picture"], workers=2)
    there = opened("two")
    score(there, "a", ["caption"])
    decide(there, "rule", policy)
    score(there, "a", ["safety", "faces", "blocklist"], workers=1)
    score_agreement(there)
    decide(there, "safety", policy)
    embed_pairs(there, "a", projection)
    name = projection.digest[:8]
    find_duplicates(there, name)
    decide(there, "duplicate", policy)
    decide(there, "final", policy, name)
    manifest = publish(there, policy, None, name)
    version = manifest.settings["version"]
    third = opened("three")
    kept = sum(manifest.counts.values())
    assert kept > 0 and read_manifest(third, f"datasets/{version}/manifest.json") == manifest
    assert is_done(third, f"datasets/{version}/manifest.json", manifest.inputs, manifest.settings)
    samples = [one for shard in shard_names(third, f"datasets/{version}/") for one in read_shard(third, shard)]
    assert len(samples) == kept and all(one["png"] for one in samples)
    base = np.load(third.path(f"embeddings/{name}/a/img_emb/img_emb_0.npy"), allow_pickle=False)
    assert nearest(base[:1], base, 2)[1][0, 0] == pytest.approx(1, abs=1e-5)
    assert publish(third, policy, None, name) == manifest, "a third machine finds it done"


def test_the_command_line_works_on_a_bucket_and_tells_mistakes_in_a_sentence(
    opened: Opened, new_bucket: str, endpoint: str, crawl_into: Callable[..., list[str]], shapes: Callable[..., Any], tmp_path: Path
) -> None:
    store = opened("one")
    crawl_into(store, shapes(4))
    score(store, "a", ["picture", "caption"])
    decide(store, "rule", load_policy())

    def run(home: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unclip_orchestration.cli", "--home", home, "data", "verdicts", "--stage", "rule"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    answer = run(f"s3://{new_bucket}/home?endpoint={endpoint}&cache={tmp_path / 'cli'}")
    assert answer.returncode == 0, answer.stderr
    assert "kept" in answer.stdout
    wrong = run(f"s3://not-{new_bucket}/home?endpoint={endpoint}&cache={tmp_path / 'wrong'}")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "there is no such bucket" in wrong.stderr

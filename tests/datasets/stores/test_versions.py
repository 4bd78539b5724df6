"""Tests of copies of dataset versions: whole or not at all for their readers, whatever kills the copying."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip_curation.publishing.versions import LATEST, copy_version, latest, manifest_name, versions
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import file_digest, make_manifest, write_manifest
from unclip_pairs.object_store import ObjectStore
from unclip_pairs.store import Store

Opened = Callable[..., ObjectStore]
COPYING = """
import sys
from unclip_curation.publishing.versions import copy_version
from unclip_pairs.home import open_store

copy_version(open_store(sys.argv[1]), sys.argv[2], open_store(sys.argv[3]))
"""


def made(store: Store, version: str, megabytes: int) -> str:
    """A version of three files, one of them large."""
    folder = f"datasets/{version}"
    store.write_bytes(f"{folder}/train-00000.tar", os.urandom(2**20) * megabytes)
    store.write_bytes(f"{folder}/train-00000.parquet", os.urandom(1000))
    store.write_bytes(f"{folder}/card.md", version.encode())
    files = [f"{folder}/{name}" for name in ("train-00000.tar", "train-00000.parquet", "card.md")]
    write_manifest(store, manifest_name(version), make_manifest(store, "dataset", files, counts={"train": 3}))
    return version


def whole(store: Store, version: str) -> bool:
    """Whether every file of the version arrives as its manifest says."""
    found = next(one for one in versions(store) if one.name == version)
    return all(file_digest(store.path(name)) == digest for name, digest in found.manifest.files.items())


def test_a_copy_is_whole_and_named_as_the_latest(opened: Opened, tmp_path: Path) -> None:
    home, reported = open_store(tmp_path / "home"), list[str]()
    for version in ("v-1", "v-2"):
        copy_version(home, made(home, version, 1), opened("here"), lambda done, total, message="": reported.append(message))
    assert len(reported) == 6 and latest(opened("there")) == "v-2"
    assert (
        [one.name for one in versions(opened("there"))] == ["v-1", "v-2"]
        and whole(opened("there"), "v-1")
        and whole(opened("there"), "v-2")
    )
    assert not home.exists(LATEST), "the home is as it was"
    before = {there.name: there.etag for there in opened("here").bucket.listed()}
    copy_version(home, "", opened("here"))
    assert {there.name: there.etag for there in opened("here").bucket.listed()} == before


def test_a_folder_takes_copies_too(tmp_path: Path) -> None:
    home, target = open_store(tmp_path / "home"), open_store(tmp_path / "disk")
    copy_version(home, made(home, "v-1", 1), target)
    assert whole(target, "v-1") and latest(target) == "v-1"
    target.path("datasets/v-1/card.md").write_bytes(b"mine")
    assert home.read_bytes("datasets/v-1/card.md") == b"v-1"
    assert copy_version(home, "v-1", target) and whole(target, "v-1")


def test_what_was_changed_is_not_copied_and_another_version_of_the_same_name_is_refused(tmp_path: Path) -> None:
    home, target = open_store(tmp_path / "home"), open_store(tmp_path / "disk")
    with pytest.raises(UserError, match="known versions: none"):
        copy_version(home, "", target)
    made(home, "v-1", 1)
    home.write_bytes("datasets/v-1/train-00000.parquet", b"changed")
    with pytest.raises(UserError, match=r"train-00000.parquet is missing or was changed"):
        copy_version(home, "v-1", target)
    assert versions(target) == [] and latest(target) is None
    made(home, "v-1", 1)
    copy_version(home, "v-1", target)
    made(home, "v-1", 2)
    with pytest.raises(UserError, match="versions never change"):
        copy_version(home, "v-1", target)


def test_a_copy_killed_in_the_middle_of_a_file_leaves_the_version_before_and_goes_on(
    opened: Opened, s3: Any, new_bucket: str, endpoint: str, tmp_path: Path
) -> None:
    home, script = open_store(tmp_path / "home"), tmp_path / "copying.py"
    script.write_text(COPYING)
    copy_version(home, made(home, "v-1", 1), opened("here"))
    made(home, "v-2", 48)
    address = f"s3://{new_bucket}/home?endpoint={endpoint}&cache={tmp_path / 'here'}"
    process = subprocess.Popen([sys.executable, str(script), str(home.root), "v-2", address])
    deadline = time.monotonic() + 60
    while not (uploads := s3.list_multipart_uploads(Bucket=new_bucket).get("Uploads", [])) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and uploads, "killed while parts were under way"
    reader = opened("reader")
    assert [one.name for one in versions(reader)] == ["v-1"] and latest(reader) == "v-1" and whole(reader, "v-1")
    assert "datasets/v-2/train-00000.tar" not in reader.names()
    assert subprocess.run([sys.executable, str(script), str(home.root), "v-2", address], check=False).returncode == 0
    assert latest(reader) == "v-2" and whole(reader, "v-2") and whole(reader, "v-1")
    assert opened("here").bucket.abort_uploads(older_than_s=-5) in (0, 1)
    assert not s3.list_multipart_uploads(Bucket=new_bucket).get("Uploads") and whole(opened("last"), "v-2")

"""Tests of the store and the manifest: whole or absent, done means the manifest exists."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.manifest import is_done, make_manifest, read_manifest, write_manifest
from unclip_pairs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


def test_a_written_file_is_read_back_and_named(store: Store) -> None:
    store.write_json("crawl/a/x.json", {"b": 1, "a": "é"})
    store.write_bytes("crawl/b.bin", b"1")
    assert store.read_json("crawl/a/x.json") == {"b": 1, "a": "é"}
    assert store.names() == ["crawl/a/x.json", "crawl/b.bin"]
    assert store.names("crawl/a/") == ["crawl/a/x.json"]
    assert store.names("crawl/b") == ["crawl/b.bin"]
    assert store.names("nothing/here") == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(store: Store) -> None:
    store.write_bytes("a.txt", b"old")
    with pytest.raises(KeyError), store.writing("a.txt") as part:
        part.write_bytes(b"new, but half")
        raise KeyError
    assert store.read_bytes("a.txt") == b"old"
    assert [path.name for path in store.root.iterdir()] == ["a.txt"]


def test_half_written_files_are_not_listed(store: Store) -> None:
    with store.writing("a.png") as part:
        part.write_bytes(b"1")
        assert part.suffix == ".png"
        assert store.names() == []
    assert store.names() == ["a.png"]


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "", ".", "a\\b", "a\0b"])
def test_no_name_leads_out_of_the_store(store: Store, name: str) -> None:
    with pytest.raises(UserError, match="leads out of the store"):
        store.path(name)


def test_a_home_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="UNCLIP_HOME"):
        open_store(tmp_path / "file" / "home")
    with pytest.raises(UserError, match="UNCLIP_HOME"):
        open_store(tmp_path / "file")


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")])
def test_write_errors_say_what_to_do(store: Store, number: int, words: str) -> None:
    with pytest.raises(UserError, match=words), store.writing("a"):
        raise OSError(number, "as the system says")


def test_a_full_device_is_explained(store: Store) -> None:
    with pytest.raises(UserError, match="disk is full"), store.writing("a") as part:
        part.symlink_to("/dev/full")
        part.write_bytes(b"x" * 10)


def test_other_system_errors_are_not_disguised(store: Store) -> None:
    with pytest.raises(ConnectionResetError), store.writing("a"):
        raise ConnectionResetError(errno.ECONNRESET, "peer")


def test_a_damaged_json_is_explained(store: Store) -> None:
    store.write_bytes("m.json", b"{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_manifest(store, "m.json")


def test_done_means_same_inputs_same_settings_and_all_files(store: Store) -> None:
    store.write_bytes("out.bin", b"1")
    manifest = make_manifest(store, "crawl", ["out.bin"], inputs={"a": "1"}, settings={"sides": (1, 2)}, counts={"rows": 3})
    assert not is_done(store, "m.json", {"a": "1"}, {"sides": [1, 2]})
    write_manifest(store, "m.json", manifest)
    assert is_done(store, "m.json", {"a": "1"}, {"sides": [1, 2]})
    assert not is_done(store, "m.json", {"a": "2"}, {"sides": [1, 2]})
    assert not is_done(store, "m.json", {"a": "1"}, {"sides": [1, 3]})
    store.path("out.bin").unlink()
    assert not is_done(store, "m.json", {"a": "1"}, {"sides": [1, 2]})


def test_the_digest_leaves_out_the_time_and_nothing_else(store: Store) -> None:
    manifest = make_manifest(store, "crawl", [], settings={"x": 1})
    assert replace(manifest, created="2000-01-01").digest == manifest.digest
    assert replace(manifest, counts={"rows": 1}).digest != manifest.digest
    write_manifest(store, "m.json", manifest)
    again = read_manifest(store, "m.json")
    assert again is not None and again.digest == manifest.digest


def test_a_manifest_changed_by_hand_is_refused(store: Store) -> None:
    write_manifest(store, "m.json", make_manifest(store, "crawl", [], settings={"x": 1}))
    store.write_json("m.json", store.read_json("m.json") | {"settings": {"x": 2}})
    with pytest.raises(UserError, match="was changed"):
        read_manifest(store, "m.json")
    store.write_json("m.json", {"kind": "crawl"})
    with pytest.raises(UserError, match="is not a manifest"):
        read_manifest(store, "m.json")

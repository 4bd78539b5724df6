"""Tests of the store over S3: whole or absent for every reader, cached by version, errors in a sentence."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip_pairs import bucket
from unclip_pairs.errors import UserError
from unclip_pairs.home import home_folder, open_store
from unclip_pairs.manifest import make_manifest, read_manifest, write_manifest
from unclip_pairs.object_store import ObjectStore, parse_address
from unclip_pairs.store import Store

Opened = Callable[..., ObjectStore]


def test_what_one_machine_writes_another_reads(opened: Opened) -> None:
    here, there = opened("one"), opened("two")
    here.write_json("crawl/a/x.json", {"b": 1, "a": "é"})
    here.write_bytes("crawl/b.bin", b"1")
    assert there.read_json("crawl/a/x.json") == {"b": 1, "a": "é"}
    assert there.names() == ["crawl/a/x.json", "crawl/b.bin"] and there.names("crawl/b") == ["crawl/b.bin"]
    assert there.names("nothing/here") == []
    assert there.exists("crawl/a") and there.exists("crawl/b.bin") and not there.exists("crawl/b") and not there.exists("crawl/c")
    assert there.path("crawl/b.bin").read_bytes() == b"1" and there.root != here.root


def test_a_replaced_object_is_fetched_again_and_a_removed_one_goes_from_the_cache(opened: Opened) -> None:
    here, there = opened("one"), opened("two")
    here.write_bytes("a.txt", b"old")
    assert there.read_bytes("a.txt") == b"old"
    here.write_bytes("a.txt", b"new")
    assert there.read_bytes("a.txt") == b"new"
    here.remove("a.txt")
    here.remove("a.txt")
    assert not there.exists("a.txt") and not there.path("a.txt").exists()
    with pytest.raises(FileNotFoundError):
        there.read_bytes("a.txt")


def test_an_object_is_fetched_once_and_a_damaged_copy_again(opened: Opened) -> None:
    opened("one").write_bytes("a.txt", b"whole")
    there = opened("two")
    first = there.path("a.txt").stat().st_ino
    assert there.path("a.txt").stat().st_ino == first
    there.path("a.txt").write_bytes(b"WHOLE")
    assert there.read_bytes("a.txt") == b"whole"


def test_a_write_that_fails_leaves_the_old_object_and_no_part(opened: Opened) -> None:
    store = opened()
    store.write_bytes("a.txt", b"old")
    with pytest.raises(KeyError), store.writing("a.txt") as part:
        part.write_bytes(b"new, but half")
        raise KeyError
    assert store.read_bytes("a.txt") == b"old" and opened("two").read_bytes("a.txt") == b"old"
    assert [path.name for path in store.root.iterdir() if not path.name.startswith((".bucket", ".objects"))] == ["a.txt"]


def test_what_is_local_stays_local(opened: Opened) -> None:
    store = opened()
    store.local_path("lock").write_bytes(b"mine")
    assert store.path("lock").read_bytes() == b"mine" and store.exists("lock")
    assert store.names() == [] and not opened("two").exists("lock")


def test_a_folder_is_brought_whole(opened: Opened) -> None:
    here, there = opened("one"), opened("two")
    for name in ("clip/weights.bin", "clip/deep/config.json", "clip-2/other"):
        here.write_bytes(name, name.encode())
    folder = there.folder("clip")
    assert (folder / "weights.bin").read_bytes() == b"clip/weights.bin" and (folder / "deep/config.json").is_file()
    assert not (there.root / "clip-2").exists()


def test_names_are_listed_page_by_page(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "PAGE", 3)
    store = opened()
    for number in range(10):
        store.write_bytes(f"rows/{number}", b"")
    assert store.names("rows/") == [f"rows/{number}" for number in range(10)]


@pytest.mark.s3
def test_more_than_a_thousand_names_are_listed(opened: Opened, s3: Any, new_bucket: str) -> None:
    store = opened(prefix="many")
    for number in range(1_050):
        s3.put_object(Bucket=new_bucket, Key=f"many/rows/{number:05d}", Body=b"")
    s3.put_object(Bucket=new_bucket, Key="many-more/x", Body=b"")
    assert store.names("rows/") == [f"rows/{number:05d}" for number in range(1_050)] and len(store.names()) == 1_050


def test_a_large_file_travels_in_parts_and_arrives_as_it_was(opened: Opened) -> None:
    here, there = opened("one"), opened("two")
    data = os.urandom(2**20) * 25
    here.write_bytes("big.bin", data)
    found = here.bucket.head("big.bin")
    assert found is not None and found.etag.endswith("-2") and found.sha256 is not None
    assert there.read_bytes("big.bin") == data
    assert here.path("big.bin").read_bytes() == data
    listed = next(there.bucket.listed("big"))
    assert listed.etag == found.etag, "a listing names the same version, so a folder is not fetched twice"


def test_an_upload_that_breaks_off_is_given_up_and_leftovers_can_be(
    opened: Opened, s3: Any, new_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    monkeypatch.setattr(bucket, "MULTIPART_BYTES", 5 * 2**20)
    monkeypatch.setattr(bucket, "_md5", lambda data: bucket.base64.b64encode(b"0" * 16).decode() if len(data) < 2**20 else None)
    with pytest.raises((UserError, Exception)):
        store.write_bytes("big.bin", b"x" * (5 * 2**20 + 7))
    assert store.names() == [] and not s3.list_multipart_uploads(Bucket=new_bucket).get("Uploads")
    s3.create_multipart_upload(Bucket=new_bucket, Key="home/datasets/left.tar")
    s3.create_multipart_upload(Bucket=new_bucket, Key="other/left.tar")
    assert store.names() == [] and not store.exists("datasets/left.tar")
    assert store.bucket.abort_uploads("datasets/", older_than_s=-5) == 1
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=new_bucket)["Uploads"]] == ["other/left.tar"]


@pytest.mark.s3
def test_a_young_upload_is_left_alone(opened: Opened, s3: Any, new_bucket: str, request: pytest.FixtureRequest) -> None:
    if "moto" in request.node.name:
        pytest.skip("moto says of every upload that it began in 2010")
    s3.create_multipart_upload(Bucket=new_bucket, Key="home/datasets/left.tar")
    assert opened().bucket.abort_uploads() == 0


def test_an_object_that_is_not_what_it_says_is_refused(opened: Opened, s3: Any, new_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "READS", 2)
    s3.put_object(Bucket=new_bucket, Key="home/a.txt", Body=b"something else", Metadata={"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"a\.txt does not arrive as it was stored"):
        opened().read_bytes("a.txt")
    s3.put_object(Bucket=new_bucket, Key="home/b.txt", Body=b"of another tool")
    assert opened().read_bytes("b.txt") == b"of another tool"


def test_a_store_goes_to_another_process_and_a_manifest_holds_no_secret(opened: Opened) -> None:
    store = opened()
    store.write_bytes("x.bin", b"1")
    write_manifest(store, "m.json", make_manifest(store, "crawl", ["x.bin"], settings={"where": str(store)}))
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert again == store and read_manifest(again, "m.json") is not None
    assert b"testing" not in pickle.dumps(store) + store.read_bytes("m.json") + (store.root / ".bucket.json").read_bytes()


def test_a_folder_knows_its_bucket(opened: Opened, tmp_path: Path) -> None:
    store = opened("one")
    assert open_store(tmp_path / "one") == store == open_store(str(tmp_path / "one"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "crawl").mkdir()
    with pytest.raises(UserError, match="a home of its own"):
        home_folder(f"s3://bucket/x?cache={tmp_path / 'mine'}")
    with pytest.raises(UserError, match="choose another folder"):
        home_folder(f"s3://bucket/x?cache={tmp_path / 'one'}")


@pytest.mark.parametrize("address", ["s3://", "s3:/bucket/x", "s3://bucket/x?secret=1", "s3://bucket/../x", "s3://bucket/x#y"])
def test_an_address_of_another_form_is_explained(address: str) -> None:
    with pytest.raises(UserError, match="is no S3 address; write it as"):
        parse_address(address)


def test_an_address_with_a_secret_is_refused_without_repeating_it() -> None:
    with pytest.raises(UserError, match="must not hold credentials") as refused:
        parse_address("s3://key:hunter2@bucket/x")
    assert "hunter2" not in str(refused.value)


def test_two_addresses_have_two_caches() -> None:
    caches = {parse_address(f"s3://bucket/{rest}")[1] for rest in ("x", "x/", "y", "x?endpoint=http://127.0.0.1:1", "x-y", "x/y")}
    assert len(caches) == 5


def test_a_bucket_that_is_not_there_is_one_sentence(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^s3://no-such-bucket/x: there is no such bucket; create it"):
        open_store(f"s3://no-such-bucket/x?endpoint={endpoint}&cache={tmp_path}/c")


def test_what_a_user_can_get_wrong_about_an_endpoint_is_one_sentence(
    tmp_path: Path, credentials: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials("key", "hunter2")
    for number, (query, words) in enumerate([("http://127.0.0.1:9", "does not answer"), ("nonsense", "is no endpoint")]):
        with pytest.raises(UserError, match=words) as caught:
            open_store(f"s3://bucket/x?endpoint={query}&cache={tmp_path}/{number}")
        assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no name of a bucket"):
        open_store(f"s3://b(d/x?endpoint=http://127.0.0.1:9&cache={tmp_path}/b")
    credentials("", "")
    with pytest.raises(UserError, match="there are no credentials"):
        open_store(f"s3://bucket/x?endpoint=http://127.0.0.1:9&cache={tmp_path}/c")


def test_a_plain_folder_has_the_same_words(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert isinstance(store, Store) and not isinstance(store, ObjectStore) and str(store) == str(tmp_path)
    store.write_bytes("a/b", b"1")
    assert store.folder("a") == tmp_path / "a" and store.local_path("a/b").read_bytes() == b"1"
    store.remove("a/b")
    store.remove("a/b")
    assert not store.exists("a/b")

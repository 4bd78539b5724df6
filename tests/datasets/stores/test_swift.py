"""Tests of what only a real, persistent, signature-checking server shows: OpenStack Swift (`make test-s3`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip_pairs import bucket
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.s3_client import s3_client

pytestmark = pytest.mark.s3


@pytest.fixture
def address(swift: Any, credentials: Callable[[str, str], None], tmp_path: Path) -> Callable[[str], str]:
    """`address(bucket)`: a home in that bucket of Swift, with the right credentials in the environment."""
    credentials(swift.key, swift.secret)
    return lambda name: f"s3://{name}/home?endpoint={swift.url}&cache={tmp_path / name}"


def test_a_wrong_secret_and_an_unknown_key_are_refused_in_a_sentence(
    swift: Any, credentials: Callable[[str, str], None], tmp_path: Path
) -> None:
    for key, secret in ((swift.key, "hunter2"), ("nobody:here", swift.secret)):
        credentials(key, secret)
        with pytest.raises(UserError, match=r"^s3://wrong/home: .*AWS_SECRET_ACCESS_KEY") as caught:
            open_store(f"s3://wrong/home?endpoint={swift.url}&cache={tmp_path}")
        assert secret not in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_clock_is_named(swift: Any, address: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime as clock

    import botocore.auth

    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *_: clock.datetime.now(clock.UTC).replace(tzinfo=None) - clock.timedelta(hours=2)
    )
    with pytest.raises(UserError, match="clock is wrong"):
        open_store(address("clock"))


def test_what_is_stored_is_there_after_the_server_was_started_again(swift: Any, address: Callable[[str], str], tmp_path: Path) -> None:
    from boto3.session import Session

    plain = Session().client("s3", endpoint_url=swift.url, region_name="us-east-1")
    plain.create_bucket(Bucket="kept")
    store = open_store(address("kept"))
    store.write_bytes("a/small.bin", b"1")
    store.write_bytes("a/large.bin", b"2" * (bucket.MULTIPART_BYTES + 1))
    swift.stop()
    swift.start()
    s3_client.cache_clear()
    again = open_store(f"s3://kept/home?endpoint={swift.url}&cache={tmp_path / 'again'}")
    assert again.names() == ["a/large.bin", "a/small.bin"] and again.read_bytes("a/small.bin") == b"1"
    assert len(again.read_bytes("a/large.bin")) == bucket.MULTIPART_BYTES + 1 and again.digest("a/large.bin") == store.digest("a/large.bin")

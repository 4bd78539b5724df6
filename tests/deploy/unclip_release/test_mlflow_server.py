"""Aliases seen from outside: a real MLflow server in its own process, asked over its REST API."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.json_value import JsonValue
from unclip_pairs.store import Store
from unclip_release.bundle import verify, write_bundle
from unclip_release.registry import default_tracking_uri, open_registry
from unclip_server.sockets import bound_socket

Train = Callable[..., dict[str, str]]
Figures = dict[str, JsonValue]

pytestmark = pytest.mark.slow


@pytest.fixture
def server(registered_store: Store) -> Iterator[str]:
    """The address of an MLflow server on the store's own database."""
    with bound_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    artifacts = registered_store.path("mlflow/server").as_uri()
    options = ["--backend-store-uri", default_tracking_uri(registered_store), "--artifacts-destination", artifacts]
    command = [sys.executable, "-m", "mlflow", "server", *options, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = registered_store.path("server.log")
    # without its job runners, seven processes that these tests do not need
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=registered_store.root, env=environment, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health", process, log)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def by_alias(server: str, alias: str) -> str | None:
    """The version that has the alias, as MLflow's REST API says."""
    try:
        with urllib.request.urlopen(f"{server}/api/2.0/mlflow/registered-models/alias?name=unclip&alias={alias}", timeout=30) as answer:
            return str(json.loads(answer.read())["model_version"]["version"])
    except urllib.error.HTTPError as error:
        with error:
            return None


def test_aliases_move_in_the_rest_api(server: str, registered_store: Store, train: Train, good_figures: Figures) -> None:
    registry = open_registry(registered_store)
    assert by_alias(server, "champion") is None
    registry.register(write_bundle(registered_store, train(registered_store, "first")), good_figures)
    assert by_alias(server, "candidate") == "1"
    registry.promote()
    assert by_alias(server, "champion") == "1"
    registry.register(write_bundle(registered_store, train(registered_store, "second")), good_figures)
    registry.promote()
    assert (by_alias(server, "champion"), by_alias(server, "previous")) == ("2", "1")
    registry.rollback()
    assert (by_alias(server, "champion"), by_alias(server, "previous")) == ("1", None)
    registry.register(write_bundle(registered_store, train(registered_store, "third")), good_figures | {"explicit_pictures": 3})
    with pytest.raises(UserError, match="3 pictures of the evaluation are explicit"):
        registry.promote()
    assert (by_alias(server, "champion"), by_alias(server, "candidate")) == ("1", "3")


def test_a_bundle_travels_through_the_server_to_another_machine(
    server: str, registered_store: Store, train: Train, tmp_path: Path, good_figures: Figures
) -> None:
    here = open_registry(registered_store, server)
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"a picture")
    here.register(write_bundle(registered_store, train(registered_store)), good_figures, attachments=(sheet,))
    here.promote()
    there = open_registry(open_store(tmp_path / "there"), server)
    version, folder = there.champion()
    assert version.label == "unclip/1"
    assert folder.is_relative_to(tmp_path / "there")
    assert verify(folder).digest == version.digest
    assert there.champion()[1] == folder

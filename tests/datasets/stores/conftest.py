"""S3 servers for the tests: moto in this process, on loopback; Swift where `make test-s3` starts it."""

import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unclip_pairs.home import open_store
from unclip_pairs.s3_client import S3Options, s3_client
from unclip_pairs.store import Store

SWIFT_SCRIPT = Path(__file__).with_name("swift_server.py")
SWIFT_ENVIRONMENT = Path(__file__).parents[3] / ".venv-peers/swift"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a moto server. It keeps objects in memory and checks no signatures."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Swift:
    """OpenStack Swift in a process of its own, over a folder that survives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Starts it, at the same address each time."""
        command = [sys.executable, str(SWIFT_SCRIPT), str(SWIFT_ENVIRONMENT), str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.url, self.key, self.secret = str(ready["url"]), str(ready["key"]), str(ready["secret"])

    def stop(self) -> None:
        """Ends all its servers."""
        self.process.communicate()


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    """A running Swift: persistent, and it checks signatures."""
    if not (SWIFT_ENVIRONMENT / "bin/swift-proxy-server").exists():
        pytest.fail("Swift is not installed; `make test-s3` installs and starts it")
    server = Swift(tmp_path_factory.mktemp("swift"))
    yield server
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`credentials(key, secret)` sets what boto3 finds in the environment."""

    def use(key: str, secret: str) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in zip(KEYS, (key, secret), strict=True):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        s3_client.cache_clear()

    return use


@pytest.fixture(params=["moto", pytest.param("swift", marks=pytest.mark.s3)])
def endpoint(request: pytest.FixtureRequest, credentials: Callable[[str, str], None]) -> str:
    """The address of a running server, with credentials that it accepts in the environment."""
    if request.param == "swift":
        swift = request.getfixturevalue("swift")
        credentials(swift.key, swift.secret)
        return str(swift.url)
    credentials("testing", "testing")
    return str(request.getfixturevalue("moto"))


@pytest.fixture
def new_bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    """The name of a new, empty bucket."""
    name = f"b-{zlib.crc32(request.node.nodeid.encode()):08x}"
    client(endpoint).create_bucket(Bucket=name)
    return name


def client(endpoint: str) -> Any:
    return s3_client(S3Options(endpoint=endpoint, attempts=2), os.getpid())


@pytest.fixture
def s3(endpoint: str) -> Any:
    """A plain boto3 client of the server."""
    return client(endpoint)


@pytest.fixture
def opened(endpoint: str, new_bucket: str, tmp_path: Path) -> Callable[..., Store]:
    """`opened(cache="one", prefix="home")`: the store on the new bucket as a machine with that cache folder sees it."""
    return lambda cache="one", prefix="home": open_store(f"s3://{new_bucket}/{prefix}?endpoint={endpoint}&cache={tmp_path / cache}")


class Projection:
    """An embedder without training: mean colours of a 4 x 4 grid; words hashed to directions."""

    dim, digest = 48, "fedcba9876543210" * 4

    def pictures(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = batch.shape[1] // 4, batch.shape[2] // 4
        return (batch.reshape(len(batch), 4, height, 4, width, 3).mean((2, 4)).reshape(len(batch), -1) - 128).astype(np.float32)

    def captions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dim) for text in texts]).astype(np.float32)


@pytest.fixture
def projection() -> Projection:
    return Projection()

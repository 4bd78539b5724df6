"""Suite's guard, no test may reach an address that is not loopback; and a small home that can be searched."""

import hashlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from unclip_pairs.store import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    """The browser tests' own option; here because pytest reads options before it finds their folder."""
    parser.addoption("--screenshots", default="", help="a folder for the screenshots of the browser tests")


def is_loopback(address: object) -> bool:
    """Unix sockets and 127.0.0.0/8, ::1 and localhost pass; every other address does not."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    try:
        return ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every connect of this process is checked; what a test starts itself binds loopback by default."""

    def guarded(name: str) -> None:
        original = getattr(socket.socket, name)

        def checked(self: socket.socket, address: Any, *rest: Any) -> Any:
            if not is_loopback(address):
                raise AssertionError(f"a test tried to reach {address!r}: tests talk to loopback only")
            return original(self, address, *rest)

        monkeypatch.setattr(socket.socket, name, checked)

    for name in ("connect", "connect_ex"):
        guarded(name)
    yield


@dataclass(frozen=True)
class Colours:
    """An embedder without training: a picture is the hues of a 4 x 4 grid, and words are the colours they name."""

    dim = 48
    digest = "c0104a5e" * 8
    named = {"red": (214, 40, 40), "blue": (30, 80, 200), "green": (40, 150, 60), "yellow": (240, 200, 40)}

    def pictures(self, batch: Any) -> Any:
        means = batch.reshape(len(batch), 4, batch.shape[1] // 4, 4, batch.shape[2] // 4, 3).mean((2, 4))
        rows = (means - means.mean(axis=-1, keepdims=True)).reshape(len(batch), -1)
        return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    def captions(self, texts: Sequence[str]) -> Any:
        colours = [next((rgb for name, rgb in self.named.items() if name in text), (128, 128, 128)) for text in texts]
        return self.pictures(np.stack([np.full((64, 64, 3), colour, dtype=np.uint8) for colour in colours]))


@dataclass(frozen=True)
class Searchable:
    """A home with 24 drawn pictures in a crawl batch "a", decided and embedded; `keys` in the order of drawing, four colours in turn."""

    store: "Store"
    keys: list[str]
    embedder: Colours
    folder: str

    def decide(self, stage: str, refused: Mapping[str, str]) -> None:
        """Writes verdicts of a stage: everything is kept but the keys of `refused`, each for its reason."""
        from unclip_curation.schemas import VERDICT_SCHEMA
        from unclip_pairs.manifest import make_manifest, write_manifest
        from unclip_pairs.shards import write_parquet

        rows = [{"key": key, "keep": key not in refused, "reasons": [refused[key]] if key in refused else []} for key in self.keys]
        write_parquet(self.store, f"verdicts/{stage}.parquet", pa.Table.from_pylist(rows, schema=VERDICT_SCHEMA))
        manifest = make_manifest(self.store, "verdicts", [f"verdicts/{stage}.parquet"])
        write_manifest(self.store, f"verdicts/{stage}.json", manifest)

    def picture(self, data: bytes) -> Any:
        """The vector of an encoded picture; `UserError` when it is none."""
        from unclip_assets.search import Space
        from unclip_curation.embeddings.embedding import squares

        return Space(self.embedder, squares(64), self.folder).picture(data)

    def words(self, text: str) -> Any:
        """The vector of words."""
        return self.embedder.captions([text])[0]


@pytest.fixture
def searchable(tmp_path: Path) -> Searchable:
    """Circles and squares in four colours, every one a little different."""
    from unclip_curation.embeddings.embedding import embed_pairs, embedding_folder
    from unclip_pairs.home import open_store
    from unclip_pairs.manifest import make_manifest, write_manifest
    from unclip_pairs.schema import CRAWL_SCHEMA, pair_key
    from unclip_pairs.shards import write_parquet, write_shard

    store, rows, samples, shard = open_store(tmp_path / "home"), [], [], "crawl/a/shard-00000"
    for number, (colour, rgb) in zip(range(24), itertools.cycle(Colours.named.items()), strict=False):
        caption = f"a {colour} {'circle' if number % 3 else 'square'} number {number}"
        url = f"http://pictures.test/{number}.png"
        image, data = Image.new("RGB", (64, 64), "white"), io.BytesIO()
        draw = ImageDraw.Draw(image)
        (draw.ellipse if number % 3 else draw.rectangle)((8 + number % 5, 8, 50, 52 - number % 7), fill=rgb)
        image.save(data, "PNG")
        key = pair_key(url, caption)
        facts = {"key": key, "url": url, "caption": caption, "status": "ok", "host": "pictures.test", "shard": shard}
        rows.append(facts | {"sha256": hashlib.sha256(data.getvalue()).hexdigest()})
        described = json.dumps({"url": url}).encode()
        samples.append({"__key__": key, "png": data.getvalue(), "txt": caption.encode(), "json": described})
    table = pa.Table.from_pylist(rows, schema=CRAWL_SCHEMA)
    write_shard(store, shard, samples, table)
    write_parquet(store, "crawl/a/rows.parquet", table)
    write_manifest(store, "crawl/a/manifest.json", make_manifest(store, "crawl", ["crawl/a/rows.parquet", f"{shard}.json"]))
    made = Searchable(store, [row["key"] for row in rows], Colours(), embedding_folder(Colours()))
    made.decide("safety", {})
    embed_pairs(store, "a", Colours(), side=64)
    return made


def draw_a_face(skin: Any = (224, 172, 140), hair: Any = (50, 35, 25), width: float = 0.34, gap: float = 0.13, side: int = 256,
                grain: float = 0, seed: int = 0) -> Image.Image:  # fmt: skip
    """A drawn head and shoulders of nobody, which the face detector takes for a face; `grain` makes it look photographed."""
    image, c = Image.new("RGB", (side, side), (150, 160, 175)), side / 2
    pen, w, h, eye = ImageDraw.Draw(image), side * width, side * 0.44, c - side * 0.06
    pen.ellipse((c - w * 1.12, c - h * 1.1, c + w * 1.12, c + h * 0.7), fill=hair)
    pen.ellipse((c - w, c - h * 0.85, c + w, c + h), fill=skin)
    for x in (c - side * gap, c + side * gap):
        pen.ellipse((x - side * 0.055, eye - side * 0.03, x + side * 0.055, eye + side * 0.03), fill=(245, 245, 245))
        pen.ellipse((x - side * 0.027, eye - side * 0.027, x + side * 0.027, eye + side * 0.027), fill=(60, 40, 30))
        pen.line((x - side * 0.07, eye - side * 0.07, x + side * 0.07, eye - side * 0.075), fill=hair, width=side // 32)
    nose = [(c, eye + side * 0.02), (c - side * 0.04, eye + side * 0.15), (c + side * 0.04, eye + side * 0.15)]
    pen.polygon(nose, fill=tuple(int(value * 0.8) for value in skin))
    pen.ellipse((c - side * 0.11, c + side * 0.17, c + side * 0.11, c + side * 0.23), fill=(170, 60, 60))
    pen.line((c - side * 0.1, c + side * 0.2, c + side * 0.1, c + side * 0.2), fill=(110, 30, 30), width=2)
    image = image.filter(ImageFilter.GaussianBlur(1.5))
    if not grain:
        return image
    light = 1.1 - 0.4 * np.arange(side)[None, :, None] / side
    noise = np.random.default_rng(seed).normal(0, grain, (side, side, 3))
    return Image.fromarray((np.asarray(image) * light + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def draw_face() -> Callable[..., Image.Image]:
    """`draw_face(skin, hair, width, gap, side=256, grain=0, seed=0)`."""
    return draw_a_face


def make_record(url: str, body: bytes, headers: Sequence[tuple[str, str]] = (("Content-Type", "text/html"),), **more: Any) -> bytes:
    """One WARC response record as plain bytes; `length` adds to its true length, `kind` is another record type."""
    answer = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    block = answer.encode("latin-1") + body
    named = {"WARC-Type": more.get("kind", "response"), "WARC-Target-URI": url, "WARC-Record-ID": f"<urn:x:{url}>"}
    named |= {"WARC-Date": "2026-11-25T00:00:00Z", "Content-Type": "application/http; msgtype=response"}
    lines = named | {"Content-Length": len(block) + more.get("length", 0)}
    return b"WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n" + block + b"\r\n\r\n"


@pytest.fixture(scope="session")
def warc_record() -> Callable[..., bytes]:
    """`warc_record(url, body, headers, length=0, kind="response")`."""
    return make_record


def free_port() -> int:
    """A port below those that the system gives to clients, free together with its neighbour."""
    for port in range(20_000 + os.getpid() % 5_000 * 2, 32_000, 2):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two neighbouring ports are free")


@pytest.fixture(scope="session")
def find_port() -> Callable[[], int]:
    """`free_port`, for fixtures that outlive a test."""
    return free_port


@pytest.fixture
def port() -> int:
    """A port that is free together with its neighbour, as the demo's web site needs it."""
    return free_port()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under `--dist loadgroup` the tests of a file stay in one process, and all that look at the smoke home in the same one."""
    for item in items:
        at_home = isinstance(item, pytest.Function) and "smoke_home" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("smoke_home" if at_home else str(item.path)))


@dataclass(frozen=True)
class SmokeHome:
    """A home in which `unclip demo --size smoke` ran to its end, and the port of the web site that it crawled."""

    path: Path
    port: int

    def again(self) -> list[str]:
        """The words of the command that ran."""
        return ["demo", "--size", "smoke", "--port", str(self.port)]


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory: pytest.TempPathFactory) -> SmokeHome:
    """The home that UNCLIP_SMOKE_HOME names, where CI told the story already; else one that is made here, once for all tests."""
    if given := os.environ.get("UNCLIP_SMOKE_HOME"):
        seeds = json.loads((Path(given) / "sources/starter.json").read_text())["seeds"]
        return SmokeHome(Path(given), int(urlsplit(seeds[0]).port or 0))
    made = SmokeHome(tmp_path_factory.mktemp("story") / "home", free_port())
    command = [sys.executable, "-m", "unclip_orchestration.cli", "--home", str(made.path), *made.again()]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return made


@pytest.fixture(scope="session")
def open_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Stand-ins for Karlo (`karlo`, `varied`) and Kandinsky 2.2 (`prior`, `decoder`, `inpaint`): each folder as its makers save it, with
    diffusers' own pipeline."""
    pytest.importorskip("diffusers", reason="needs the extra open-weights")
    from open_weight_models import saved

    return saved(tmp_path_factory.mktemp("weights"))

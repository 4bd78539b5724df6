"""Suite's guard, no test may reach an address that is not loopback; and a small home that can be searched."""

import hashlib
import io
import itertools
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

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

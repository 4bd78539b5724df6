"""Tests of a lineage on one screen and on one page: what is in it, what is missing, and what must not be shown."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import make_manifest, write_manifest
from unclip_pairs.shards import write_parquet, write_shard
from unclip_pairs.store import Store
from unclip_pairs.takedowns import Takedown, record
from unclip_release.bundle import write_bundle
from unclip_release.lineage import Lineage, full_text, trace
from unclip_release.lineage_graph import graph_steps, graph_svg
from unclip_release.lineage_page import lineage_page, write_page
from unclip_release.lineage_summary import WIDTH, summarize, summary_json, summary_text
from unclip_release.manifest_index import manifest_index
from unclip_release.provenance import Provenance, png_bytes

VERSION = "v-000000000001"
BLURRED = (200, 10, 10)
ROWS = [
    {"key": "a" * 20, "caption": "a <b>red</b> ball", "licence": "MIT", "url": "http://one.test/a.png", "page_url": "http://one.test/"},
    {"key": "b" * 20, "caption": "a blue ball", "licence": None, "url": "http://two.test/b.png", "page_url": "http://two.test/"},
]


@pytest.fixture
def picture(store: Store, train: Callable[[Store], dict[str, str]], tmp_path: Path) -> Path:
    """A painted picture of a bundle whose dataset has pictures; in the set they are other than what was crawled, as blurred ones are."""
    stages, rows = train(store), pa.Table.from_pylist(ROWS)
    write_parquet(store, f"datasets/{VERSION}/rows.parquet", rows)
    samples = [{"__key__": row["key"], "png": encode_png(Image.new("RGB", (32, 32), BLURRED), 1)} for row in ROWS]
    write_shard(store, f"datasets/{VERSION}/train-00000", samples, rows)
    bundle = write_bundle(store, stages, policy_version="p1")
    path = tmp_path / "picture.png"
    origin = Provenance(model="unclip/1", manifest=bundle.digest, seed=7, prompt="a red ball")
    path.write_bytes(png_bytes(Image.new("RGB", (8, 8)), origin))
    return path


@pytest.fixture
def lineage(store: Store, picture: Path) -> Lineage:
    return trace(store, None, str(picture))


def test_the_summary_fits_one_screen_and_names_every_station(lineage: Lineage, picture: Path) -> None:
    text = summary_text(summarize(lineage))
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= WIDTH
    for part in (
        f"{picture}: seed 7",
        "unclip/1, not in this registry",
        "upsampler_2  upsampler_2/first: upsampler_2_tiny",
        f"dataset      {VERSION}",
        "licences     MIT 1, not stated 1",
        "crawl        a: 10 pictures from 0 pages of unnamed sources",
    ):
        assert part in " ".join(text.split("\n             ")), part


def test_a_variation_is_walked_back_and_names_its_source(store: Store, lineage: Lineage, picture: Path) -> None:
    origin = Provenance(model="unclip/1", manifest=summarize(lineage).bundle_digest, seed=8, source_sha256="5" * 64)
    picture.write_bytes(png_bytes(Image.new("RGB", (8, 8)), origin))
    varied = trace(store, None, str(picture))
    text = " ".join(summary_text(summarize(varied)).split())
    assert "seed 8, source sha256 555555555555" in text and "prompt" not in text
    page = lineage_page(varied)
    assert f"variation of the picture with the sha256 <code>{'5' * 64}</code>" in page and "prompt" not in page


def test_the_summary_as_json_holds_the_steps_too(lineage: Lineage) -> None:
    found = json.loads(summary_json(lineage))
    assert found["dataset"]["licences"] == {"MIT": 1, "not stated": 1}
    assert [network["stage"] for network in found["networks"]] == ["clip", "prior", "decoder", "upsampler_1", "upsampler_2"]
    assert [node["name"] for node in found["nodes"]] == [node.name for node in lineage.nodes()]


def test_what_is_gone_is_said_to_be_missing(picture: Path, tmp_path: Path) -> None:
    text = summary_text(summarize(trace(open_store(tmp_path / "empty"), None, str(picture))))
    assert re.search(r"bundle +[0-9a-f]{12}, not in this store", text)
    assert "dataset" not in text and "crawl" not in text


def test_a_set_that_is_left_in_a_cache_only_is_found(store: Store, lineage: Lineage, picture: Path) -> None:
    assert "dataset: not in this store  [safe]" in full_text(lineage)
    store.write_bytes("cache/safe-32/pairs.parquet", b"pairs")
    cached = make_manifest(store, "cache", ["cache/safe-32/pairs.parquet"], inputs={"source": "safe"}, settings={"side": 32})
    write_manifest(store, "cache/safe-32/manifest.json", cached)
    text = full_text(trace(store, None, str(picture)))
    assert "dataset (cached copy): cache/safe-32/manifest.json  [safe]" in text
    assert "not in this store" not in text


def test_a_file_is_found_by_its_digest(store: Store, picture: Path) -> None:
    store.write_bytes("features/a/list.parquet", b"list")
    known = make_manifest(store, "features", ["features/a/list.parquet"])
    write_manifest(store, "features/a/list.json", known)
    found = manifest_index(store).find(known.files["features/a/list.parquet"])
    assert found is not None and (found.name, found.manifest) == ("features/a/list.parquet", None)


def pictures_in(page: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


def test_the_page_stands_alone_and_shows_the_pictures_of_the_set(lineage: Lineage, picture: Path) -> None:
    page = lineage_page(lineage)
    colours = [image.convert("RGB").getpixel((16, 16)) for image in pictures_in(page)]
    assert len(colours) == 2
    for colour in colours:
        assert isinstance(colour, tuple) and all(abs(one - other) < 12 for one, other in zip(colour, BLURRED, strict=True))
    assert base64.b64encode(picture.read_bytes()).decode() in page
    assert "a &lt;b&gt;red&lt;/b&gt; ball" in page and "MIT · http://one.test/" in page
    assert "<script" not in page and re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_what_was_taken_down_is_not_on_the_page(store: Store, lineage: Lineage) -> None:
    record(store, Takedown(kind="host", value="one.test"))
    page = lineage_page(lineage)
    assert len(pictures_in(page)) == 1
    assert "one.test" not in page


def test_the_graph_shows_each_step_once_below_what_it_was_made_from(lineage: Lineage) -> None:
    steps = graph_steps(lineage)
    drawn = ElementTree.fromstring(graph_svg(lineage))
    names = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")][1::2]
    assert sorted(names) == sorted(step.name if len(step.name) <= 22 else f"{step.name[:21]}…" for step in steps.values())
    edges = list(drawn.iter("{http://www.w3.org/2000/svg}path"))
    assert len(edges) == sum(len(step.inputs) for step in steps.values()) > 5
    for edge in edges:
        _, y, *_, to_y = [int(number) for number in re.findall(r"\d+", edge.attrib["d"])]
        assert y < to_y


def test_a_page_that_cannot_be_written_is_a_sentence(lineage: Lineage, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_page(lineage, tmp_path / "nowhere" / "page.html")
    write_page(lineage, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")

"""The walk back, from a painted picture to the page it was crawled from."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder
from unclip_release.lineage import full_text, trace
from unclip_release.provenance import Provenance, png_bytes, read_provenance
from unclip_release.registry import open_registry

Train = Callable[..., dict[str, str]]
Figures = dict[str, JsonValue]


@pytest.fixture
def picture(bundle: Manifest, tmp_path: Path) -> Path:
    origin = Provenance(model="unclip/1", manifest=bundle.digest, seed=7, prompt="a red ball")
    path = tmp_path / "picture.png"
    path.write_bytes(png_bytes(Image.new("RGB", (8, 8)), origin))
    return path


def test_a_picture_is_walked_back_to_its_crawl(registered_store: Store, bundle: Manifest, picture: Path, good_figures: Figures) -> None:
    registry = open_registry(registered_store)
    registry.register(bundle, good_figures)
    registry.promote()
    text = full_text(trace(registered_store, registry, str(picture)))
    stations = [
        *(
            "picture: ",
            "model version: unclip/1",
            f"bundle: {bundle_folder(bundle)}/manifest.json",
            "dataset: datasets/v-000000000001/manifest.json",
        ),
        *("verdicts: verdicts/final.json", "crawl/a (crawl): crawl/a/manifest.json", "decoder (model): models/decoder/first/manifest.json"),
    ]
    assert [station for station in stations if station not in text] == []
    assert "seed 7" in text
    assert "aliases champion" in text
    assert "concept_hit_rate 0.4" in text
    assert "policy_version p1" in text
    assert "contact me@example.org" in text
    assert full_text(trace(registered_store, registry, "champion")) in text.replace("\n  ", "\n")
    depths = {node.kind.split(" ")[0]: node.depth for node in reversed(trace(registered_store, registry, str(picture)).nodes())}
    assert depths["picture"] < depths["model"] < depths["bundle"] < depths["decoder"]


def test_each_manifest_is_told_once(registered_store: Store, picture: Path) -> None:
    titles = [node.title for node in trace(registered_store, None, str(picture)).nodes()]
    assert len([name for name in titles if name == "datasets/v-000000000001/manifest.json"]) == 1
    assert len([name for name in titles if name.startswith("datasets/v-000000000001/manifest.json (see above)")]) >= 1


def test_the_clip_that_a_stage_learned_from_is_found_by_its_weights(registered_store: Store, picture: Path) -> None:
    nodes = [node for node in trace(registered_store, None, str(picture)).nodes() if node.kind.startswith("clip")]
    assert {node.name for node in nodes} == {"models/clip/first/manifest.json"}
    assert len(nodes) == 3, "once in the bundle, once in the prior, once in the decoder"


def test_the_bundle_alone_still_tells_its_stages_and_its_dataset(
    registered_store: Store, bundle: Manifest, picture: Path, tmp_path: Path
) -> None:
    alone = open_store(tmp_path / "alone")
    for name in registered_store.names(f"{bundle_folder(bundle)}/"):
        alone.write_bytes(name, registered_store.read_bytes(name))
    text = full_text(trace(alone, None, str(picture)))
    assert "lineage/decoder.json" in text
    assert "lineage/dataset.json" in text
    assert "not in this store" in text


def test_a_picture_of_another_store_says_what_is_missing(picture: Path, tmp_path: Path) -> None:
    assert "bundle: not in this store" in full_text(trace(open_store(tmp_path / "empty"), None, str(picture)))


@pytest.mark.parametrize(
    ("content", "told"), [(None, "does not exist"), (b"text", "not a readable PNG"), (b"plain", "carries no provenance")]
)
def test_a_file_that_tells_nothing_is_a_sentence(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "other.png"
    if content == b"plain":
        Image.new("RGB", (4, 4)).save(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_provenance(path)


def test_an_unknown_version_is_a_sentence(registered_store: Store) -> None:
    with pytest.raises(UserError, match="neither a PNG file nor a version or alias"):
        trace(registered_store, open_registry(registered_store), "champion")
    with pytest.raises(UserError, match="versions need the registry"):
        trace(registered_store, None, "champion")

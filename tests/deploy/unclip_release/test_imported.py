"""Import of models that were trained elsewhere: files, licence, card, checksums, and the registry's word on them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import file_digest
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder, verify, write_bundle
from unclip_release.imported import ImportRequest, import_model
from unclip_release.lineage import full_text, trace
from unclip_release.lineage_page import lineage_page
from unclip_release.lineage_summary import summarize, summary_text
from unclip_release.registry import open_registry


@pytest.fixture
def saved(open_weights: dict[str, tuple[Path, Any]]) -> dict[str, Path]:
    """The folders of both families, as their makers save them."""
    return {name: folder for name, (folder, _) in open_weights.items()}


def sums(folder: Path) -> str:
    return "".join(f"{file_digest(path)}  ./{path.relative_to(folder)}\n" for path in sorted(folder.rglob("*")) if path.is_file())


def test_an_imported_model_is_a_version_like_any_other(
    saved: dict[str, Path], registered_store: Store, good_figures: dict[str, JsonValue]
) -> None:
    store, registry = registered_store, open_registry(registered_store)
    manifest = import_model(store, ImportRequest(folder=saved["karlo"]))
    assert verify(store.folder(bundle_folder(manifest))).digest == manifest.digest
    assert registry.register(manifest, {}).objections[0].startswith("evaluated: the evaluation lacks concept_hit_rate")
    assert registry.register(manifest, good_figures).objections == []
    champion = registry.promote()
    assert champion.tags["licence"] == "creativeml-openrail-m"
    assert champion.tags["training_data"] == "outside this home"
    lineage = trace(store, registry, "champion")
    assert "training_data outside this home" in full_text(lineage)
    told = summary_text(summarize(lineage))
    assert "karlo, imported from karlo; licence creativeml-openrail-m" in told
    assert "the model's training data lie outside this home" in told
    assert "training data lie outside this home" in lineage_page(lineage)


def test_only_what_is_used_is_taken_over_with_licence_and_card(saved: dict[str, Path], store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["karlo"], tmp_path / "karlo"))
    (folder / "prior" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle beside the safetensors")
    (folder / "prior" / "setup.py").write_text("raise SystemExit")
    manifest = import_model(store, ImportRequest(folder=folder))
    root = bundle_folder(manifest)
    names = {name.removeprefix(f"{root}/") for name in manifest.files}
    assert {name for name in names if name.startswith("prior/")} == {"prior/config.json", "prior/diffusion_pytorch_model.safetensors"}
    assert {"bundle.json", "licence/LICENCE.txt", "card/README.md"} < names
    assert store.read_bytes(f"{root}/licence/LICENCE.txt").decode() == (folder / "LICENSE").read_text()
    listing = store.read_json(f"{root}/bundle.json")
    assert listing["files"]["prior/config.json"] == file_digest(folder / "prior" / "config.json")


def test_parts_that_two_pipelines_share_are_kept_once(saved: dict[str, Path], store: Store) -> None:
    manifest = import_model(store, ImportRequest(folder=saved["karlo"], variations=saved["varied"]))
    pipelines = store.read_json(f"{bundle_folder(manifest)}/bundle.json")["pipelines"]
    assert pipelines["UnCLIPPipeline"]["decoder"] == pipelines["UnCLIPImageVariationPipeline"]["decoder"]
    both = import_model(store, ImportRequest(folder=saved["decoder"], prior=saved["prior"], inpaint=saved["inpaint"]))
    pipelines = store.read_json(f"{bundle_folder(both)}/bundle.json")["pipelines"]
    assert pipelines["KandinskyV22InpaintPipeline"]["unet"]["folder"] == "KandinskyV22InpaintPipeline-unet"
    assert pipelines["KandinskyV22InpaintPipeline"]["movq"]["folder"] == "movq"


def test_an_import_is_made_once_and_other_steps_are_another_model(saved: dict[str, Path], store: Store) -> None:
    first = import_model(store, ImportRequest(folder=saved["karlo"]))
    assert import_model(store, ImportRequest(folder=saved["karlo"])) == first
    assert import_model(store, ImportRequest(folder=saved["karlo"], decoder_steps=3)).digest != first.digest


def test_a_killed_import_goes_on(saved: dict[str, Path], store: Store) -> None:
    first = import_model(store, ImportRequest(folder=saved["karlo"]))
    store.remove(f"{bundle_folder(first)}/manifest.json")
    store.remove(f"{bundle_folder(first)}/prior/config.json")
    assert import_model(store, ImportRequest(folder=saved["karlo"])).digest == first.digest


def test_what_reads_pictures_may_lie_in_the_folder_itself(saved: dict[str, Path], store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["karlo"], tmp_path / "karlo"))
    for name in ("image_encoder", "feature_extractor"):
        shutil.copytree(saved["varied"] / name, folder / name)
    manifest = import_model(store, ImportRequest(folder=folder))
    assert "UnCLIPImageVariationPipeline" in store.read_json(f"{bundle_folder(manifest)}/bundle.json")["pipelines"]


def test_the_files_are_compared_with_their_checksums(saved: dict[str, Path], store: Store, tmp_path: Path) -> None:
    stated = tmp_path / "SHA256SUMS"
    stated.write_text(sums(saved["karlo"]))
    import_model(store, ImportRequest(folder=saved["karlo"], sha256sums=stated))
    digest = file_digest(saved["karlo"] / "prior" / "config.json")
    stated.write_text(sums(saved["karlo"]).replace(digest, "0" * 64))
    with pytest.raises(UserError, match=r"prior/config\.json has another sha256 than .* states .*; fetch it again"):
        import_model(store, ImportRequest(folder=saved["karlo"], sha256sums=stated))
    stated.write_text("nothing of the kind")
    with pytest.raises(UserError, match="has the line 'nothing of the kind'; give a list as sha256sum writes it"):
        import_model(store, ImportRequest(folder=saved["karlo"], sha256sums=stated))
    stated.write_text(f"{digest}  elsewhere/config.json\n")
    with pytest.raises(UserError, match="states no sha256 of"):
        import_model(store, ImportRequest(folder=saved["karlo"], sha256sums=stated))


def test_a_licence_without_text_is_refused(saved: dict[str, Path], store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["karlo"], tmp_path / "karlo"))
    (folder / "LICENSE").write_text(" \n")
    with pytest.raises(UserError, match="LICENSE is empty; give the text itself"):
        import_model(store, ImportRequest(folder=folder))
    (folder / "LICENSE").unlink()
    with pytest.raises(UserError, match=r"has no licence text \(a file LICENSE\); .* with --licence FILE"):
        import_model(store, ImportRequest(folder=folder))
    (tmp_path / "given").write_text("A given licence\n")
    (folder / "README.md").unlink()
    manifest = import_model(store, ImportRequest(folder=folder, licence=tmp_path / "given"))
    assert manifest.settings["licence"] == "A given licence"


HALVES: dict[str, Callable[[dict[str, Path]], ImportRequest]] = {
    "KandinskyV22Pipeline alone is no whole model": lambda saved: ImportRequest(folder=saved["decoder"]),
    "UnCLIPImageVariationPipeline alone is no whole model": lambda saved: ImportRequest(folder=saved["varied"]),
    "UnCLIPPipeline and KandinskyV22PriorPipeline alone is no whole model": lambda saved: ImportRequest(
        folder=saved["karlo"], prior=saved["prior"]
    ),
    "two of the named folders hold a KandinskyV22PriorPipeline": lambda saved: ImportRequest(folder=saved["prior"], prior=saved["prior"]),
    "the steps of the decoder are 1; choose between 2 and 1000": lambda saved: ImportRequest(folder=saved["karlo"], decoder_steps=1),
}


@pytest.mark.parametrize("sentence", HALVES)
def test_folders_that_make_no_whole_model_are_refused(saved: dict[str, Path], store: Store, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        import_model(store, HALVES[sentence](saved))


def test_weights_of_another_model_leave_nothing_behind(saved: dict[str, Path], store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["karlo"], tmp_path / "karlo"))
    config = json.loads((folder / "prior" / "config.json").read_text())
    (folder / "prior" / "config.json").write_text(json.dumps(config | {"num_layers": 3}))
    with pytest.raises(UserError, match=r"lack transformer_blocks"):
        import_model(store, ImportRequest(folder=folder))
    assert store.names("bundles/") == []


def test_a_bundle_of_ours_is_taken_over_with_its_manifest(store: Store, train: Any, tmp_path: Path) -> None:
    made = write_bundle(store, train(store))
    elsewhere = Path(shutil.copytree(store.folder(bundle_folder(made)), tmp_path / "elsewhere"))
    other = Store(tmp_path / "other")
    assert import_model(other, ImportRequest(folder=elsewhere)).digest == made.digest
    assert verify(other.folder(bundle_folder(made))).digest == made.digest
    (elsewhere / "decoder.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match=r"decoder\.safetensors is missing or damaged"):
        import_model(other, ImportRequest(folder=elsewhere))

"""Folders in diffusers' format are looked at before anything is loaded: each fault has its sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from unclip_generation.loading import open_generator
from unclip_generation.open_weights.folder import read_folder
from unclip_pairs.errors import UserError

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(karlo: Any, tmp_path: Path) -> Path:
    """A copy of Karlo's folder, to be spoiled."""
    return Path(shutil.copytree(karlo.sources["karlo"][0], tmp_path / "karlo"))


def index(folder: Path, **changed: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def pickled(folder: Path) -> None:
    (folder / "prior" / WEIGHTS).rename(folder / "prior" / "diffusion_pytorch_model.bin")


def cut(folder: Path) -> None:
    data = (folder / "decoder" / WEIGHTS).read_bytes()
    (folder / "decoder" / WEIGHTS).write_bytes(data[:-100])


def swollen(folder: Path) -> None:
    with (folder / "tokenizer" / "vocab.json").open("a") as file:
        file.write(" " * 34_000_000)


FAULTS: dict[str, Callable[[Path], object]] = {
    "has neither a bundle.json nor a model_index.json": lambda folder: (folder / "model_index.json").unlink(),
    "holds no JSON object": lambda folder: (folder / "model_index.json").write_text("[]"),
    "names the pipeline 'StableDiffusionPipeline', which cannot be imported": lambda folder: index(
        folder, _class_name="StableDiffusionPipeline"
    ),
    r"names the class transformers\.T5EncoderModel for prior, which is not allowed": lambda folder: index(
        folder, prior=["transformers", "T5EncoderModel"]
    ),
    r"names the class stranger\.PriorTransformer for prior": lambda folder: index(folder, prior=["stranger", "PriorTransformer"]),
    "names no prior, which a UnCLIPPipeline needs": lambda folder: index(folder, prior=[None, None]),
    r"has no part super_res_last": lambda folder: shutil.rmtree(folder / "super_res_last"),
    r"decoder has no config\.json": lambda folder: (folder / "decoder" / "config.json").unlink(),
    r"prior has no diffusion_pytorch_model\.safetensors": lambda folder: (folder / "prior" / WEIGHTS).unlink(),
    r"prior has its weights as a pickle only \(diffusion_pytorch_model\.bin\)": pickled,
    r"is no whole safetensors file": cut,
    r"vocab\.json has 34,0\d\d,\d\d\d bytes": swollen,
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_folder_with_a_fault_is_refused(folder: Path, sentence: str) -> None:
    FAULTS[sentence](folder)
    with pytest.raises(UserError, match=sentence):
        read_folder(folder)


def test_weights_in_several_files_are_read_by_their_index(folder: Path, karlo: Any) -> None:
    whole, place = load_file(folder / "prior" / WEIGHTS), folder / "prior"
    names = sorted(whole)
    shards = {f"diffusion_pytorch_model-{i}.safetensors": names[i::2] for i in (0, 1)}
    for shard, held in shards.items():
        save_file({name: whole[name] for name in held}, place / shard, metadata={"format": "pt"})
    places = {name: shard for shard, held in shards.items() for name in held}
    (place / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (place / WEIGHTS).unlink()
    assert set(read_folder(folder).parts["prior"].files) == {"config.json", f"{WEIGHTS}.index.json", *shards}
    (place / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"a": "../decoder/a.safetensors"}}))
    with pytest.raises(UserError, match="names no safetensors files of its own folder"):
        read_folder(folder)


def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(karlo: Any, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(karlo.bundle, tmp_path / "bundle"))
    tensors = load_file(bundle / "prior" / WEIGHTS)
    lost = tensors.pop("proj_to_clip_embeddings.weight")
    assert lost.size
    (bundle / "prior" / WEIGHTS).unlink()
    save_file(tensors, bundle / "prior" / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack proj_to_clip_embeddings\.weight"):
        open_generator(bundle, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": "DiffusionPipeline", "folder": "prior"}, "prior of class DiffusionPipeline"),
        ({"class": "PriorTransformer", "folder": "../prior"}, r"prior in the folder '\.\./prior'"),
    ],
)
def test_a_listing_that_names_what_is_not_allowed_is_refused(karlo: Any, tmp_path: Path, change: dict[str, str], message: str) -> None:
    listing = json.loads((karlo.bundle / "bundle.json").read_text())
    listing["pipelines"]["UnCLIPPipeline"]["prior"] = change
    (tmp_path / "bundle.json").write_text(json.dumps(listing))
    with pytest.raises(UserError, match=message):
        open_generator(tmp_path, "cpu")

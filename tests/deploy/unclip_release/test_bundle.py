"""The bundle: what goes together, made once, whole or not at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import read_manifest, write_manifest
from unclip_pairs.store import Store
from unclip_release.bundle import STAGES, bundle_folder, compatibility, stage_manifests, verify, write_bundle

Train = Callable[..., dict[str, str]]


def test_a_bundle_holds_every_stage_and_its_origin(store: Store, train: Train) -> None:
    bundle = write_bundle(store, train(store), policy_version="p1")
    folder = store.path(bundle_folder(bundle))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert {f"{stage}.safetensors" for stage in STAGES} | {
        "bundle.json",
        "tokenizer.json",
        "manifest.json",
        "lineage/dataset.json",
    } <= names
    told = store.read_json(f"{bundle_folder(bundle)}/bundle.json")
    assert told["clip"] == "clip.safetensors"
    assert told["upsamplers"] == ["upsampler_1.safetensors", "upsampler_2.safetensors"]
    assert told["dataset_version"] == "v-000000000001"
    assert told["policy_version"] == "p1"
    assert told["stages"]["decoder"]["recipe"] == "decoder_tiny"
    assert verify(folder).digest == bundle.digest


def test_weights_take_no_second_place_on_the_disk(store: Store, train: Train) -> None:
    bundle = write_bundle(store, train(store))
    assert store.path(f"{bundle_folder(bundle)}/decoder.safetensors").samefile(store.path("models/decoder/first/weights.safetensors"))


def test_the_same_stages_make_the_same_bundle_once(store: Store, train: Train) -> None:
    stages = train(store)
    bundle = write_bundle(store, stages)
    written = store.path(f"{bundle_folder(bundle)}/manifest.json").stat().st_mtime_ns
    assert write_bundle(store, stages).digest == bundle.digest
    assert store.path(f"{bundle_folder(bundle)}/manifest.json").stat().st_mtime_ns == written
    assert bundle_folder(write_bundle(store, train(store, "second"))) != bundle_folder(bundle)


def test_chosen_guidance_is_part_of_the_bundle(store: Store, train: Train) -> None:
    stages = train(store)
    plain, guided = write_bundle(store, stages), write_bundle(store, stages, guidance={"prior": 1.0, "decoder": 3.0})
    assert plain.digest != guided.digest
    assert store.read_json(f"{bundle_folder(guided)}/bundle.json")["guidance"] == {"prior": 1.0, "decoder": 3.0}
    assert "guidance" not in store.read_json(f"{bundle_folder(plain)}/bundle.json")


def test_a_bundle_without_its_manifest_is_made_whole(store: Store, train: Train) -> None:
    stages = train(store)
    bundle = write_bundle(store, stages)
    store.path(f"{bundle_folder(bundle)}/manifest.json").unlink()
    store.path(f"{bundle_folder(bundle)}/decoder.safetensors").unlink()
    with pytest.raises(UserError, match="not a finished bundle"):
        verify(store.path(bundle_folder(bundle)))
    assert write_bundle(store, stages).digest == bundle.digest
    verify(store.path(bundle_folder(bundle)))


@pytest.mark.parametrize(
    ("stage", "inputs", "told"),
    [
        ("decoder", {"clip": "another"}, "the decoder was trained with the CLIP another, but the bundle's CLIP is"),
        ("prior", {"clip": "another"}, "the prior was trained with the CLIP another"),
        ("upsampler_2", {"dataset": "another"}, "trained on different datasets"),
    ],
)
def test_stages_of_another_origin_make_no_bundle(store: Store, train: Train, stage: str, inputs: dict[str, str], told: str) -> None:
    stages = train(store)
    manifests = stage_manifests(store, stages)
    assert compatibility(manifests) == []
    changed = replace(manifests[stage], inputs=manifests[stage].inputs | inputs)
    assert any(told in sentence for sentence in compatibility(manifests | {stage: changed}))
    write_manifest(store, f"{stages[stage]}/manifest.json", changed)
    with pytest.raises(UserError, match="these stages make no bundle"):
        write_bundle(store, stages)
    assert store.names("bundles/") == []


def test_an_unfinished_stage_is_named(store: Store, train: Train) -> None:
    stages = train(store)
    store.path(f"{stages['prior']}/manifest.json").unlink()
    with pytest.raises(UserError, match=r"the stage prior .*manifest\.json.*train it to its end first"):
        write_bundle(store, stages)


def test_a_stage_that_is_left_out_is_named(store: Store) -> None:
    with pytest.raises(UserError, match="exactly the stages clip, prior, decoder"):
        write_bundle(store, {"clip": "models/clip/first"})


def test_weights_changed_after_their_training_are_refused(store: Store, train: Train) -> None:
    stages = train(store)
    store.write_bytes(f"{stages['decoder']}/weights.safetensors", b"other")
    with pytest.raises(UserError, match="changed after its training"):
        write_bundle(store, stages)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_a_damaged_bundle_is_found_out(store: Store, train: Train, damage: Callable[[Path], object]) -> None:
    folder = store.path(bundle_folder(write_bundle(store, train(store))))
    damage(folder / "prior.safetensors")
    with pytest.raises(UserError, match=r"prior\.safetensors is missing or damaged"):
        verify(folder)


def test_a_copied_bundle_is_as_good_as_the_first(store: Store, train: Train, tmp_path: Path) -> None:
    folder = store.path(bundle_folder(write_bundle(store, train(store))))
    folder.rename(tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere").kind == "bundle"
    assert read_manifest(Store(tmp_path / "elsewhere"), "manifest.json") is not None

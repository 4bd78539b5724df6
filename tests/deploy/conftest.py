"""What the tests of the deploy shelf share: small stores with finished trainings, their bundles and figures, and one database made once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unclip_pairs.home import open_store
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import Manifest, file_digest, make_manifest, write_manifest
from unclip_pairs.store import Store
from unclip_release.bundle import STAGES, write_bundle
from unclip_release.registry import open_registry

Train = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them: making one takes seconds, copying one does not."""
    store = open_store(tmp_path_factory.mktemp("mlflow"))
    assert open_registry(store).versions() == []
    return store.path("mlflow/mlflow.db")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


@pytest.fixture
def registered_store(store: Store, empty_database: Path) -> Store:
    store.path("mlflow").mkdir()
    shutil.copy(empty_database, store.path("mlflow/mlflow.db"))
    return store


def publish_dataset(store: Store, version: str = "v-000000000001") -> str:
    """A dataset with the crawl it was made from; gives its digest."""
    store.write_bytes("crawl/a/rows.parquet", b"rows")
    crawl = make_manifest(store, "crawl", ["crawl/a/rows.parquet"], settings={"contact": "me@example.org"}, counts={"rows": 12, "ok": 10})
    write_manifest(store, "crawl/a/manifest.json", crawl)
    store.write_bytes("verdicts/final.parquet", b"verdicts")
    verdicts = make_manifest(
        store, "verdicts", ["verdicts/final.parquet"], inputs={"crawl/a": crawl.digest}, settings={"policy_version": "p1"}
    )
    write_manifest(store, "verdicts/final.json", verdicts)
    dataset = make_manifest(
        store, "dataset", [], inputs={"verdicts": verdicts.digest}, settings={"version": version, "policy_version": "p1"}
    )
    write_manifest(store, f"datasets/{version}/manifest.json", dataset)
    return dataset.digest


@pytest.fixture
def train() -> Train:
    """Writes five finished model folders, as the trainings leave them; `run` names them, and its name makes their weights."""

    def trained(store: Store, run: str = "first") -> dict[str, str]:
        dataset = publish_dataset(store)
        stages = {stage: f"models/{stage}/{run}" for stage in STAGES}
        for stage, folder in stages.items():
            store.write_bytes(f"{folder}/weights.safetensors", f"{stage} of {run}".encode())
        store.write_json(f"{stages['clip']}/tokenizer.json", {"words": ["red", "ball"]})
        clip = file_digest(store.path(f"{stages['clip']}/weights.safetensors"))
        for stage, folder in stages.items():
            inputs = {"dataset": "safe" if stage == "clip" else dataset} | ({"clip": clip} if stage in ("prior", "decoder") else {})
            made = make_manifest(
                store, "model", [f"{folder}/weights.safetensors"], inputs=inputs, settings={"recipe": f"{stage}_tiny", "seed": 0}
            )
            write_manifest(store, f"{folder}/manifest.json", made)
        return stages

    return trained


@pytest.fixture
def bundle(registered_store: Store, train: Train) -> Manifest:
    """The bundle of one finished training of each stage."""
    return write_bundle(registered_store, train(registered_store), policy_version="p1")


@pytest.fixture
def bundles(registered_store: Store, train: Train) -> list[Manifest]:
    """Three bundles of different weights."""
    return [write_bundle(registered_store, train(registered_store, run), policy_version="p1") for run in ("first", "second", "third")]


@pytest.fixture
def good_figures() -> dict[str, JsonValue]:
    """The figures of an evaluation that every gate lets through."""
    return {
        "concept_hit_rate": 0.40,
        "style_hit_rate": 0.90,
        "clip_score_judge": 0.30,
        "frechet_mnv2": 20.0,
        "nearest_train": {"mean": 0.8, "share_above_0.97": 0.1},
        "explicit_pictures": 0,
    }

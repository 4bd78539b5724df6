"""Tests of the pipeline: the command and the assets run the same steps, give the same files and set the same pointers."""

import itertools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import torch
from PIL import Image

from unclip_assets.clip import clip_embeddings
from unclip_assets.curation import EMBEDDED, own_clip
from unclip_assets.partitions import CRAWL_BATCHES
from unclip_assets.resources import CurationPolicy, resources_for
from unclip_assets.search import open_space
from unclip_assets.settings import Environment, default_tracking_uri, read_environment
from unclip_curation.decisions.ground_truth import TRUTH
from unclip_curation.decisions.verdicts import read_verdicts
from unclip_curation.duplicates.evaluation_sets import add_folder
from unclip_curation.engines.processes import Processes
from unclip_curation.pipeline import NAMES, STEPS, Curation, curate, run_step
from unclip_curation.policy import load_policy
from unclip_models import checkpoint
from unclip_models.build import build as build_network
from unclip_models.config import ClipConfig, TowerConfig
from unclip_models.text import Tokenizer
from unclip_orchestration.definitions import build
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.pointers import find, point
from unclip_pairs.shards import write_parquet
from unclip_pairs.store import Store

ASSETS = (
    "picture_features",
    "caption_features",
    "rule_verdicts",
    "safety_features",
    "face_features",
    "caption_agreement",
    "safety_verdicts",
    "clip_embeddings",
    "duplicate_verdicts",
)
PUBLISHED = ("training_shards", "data_card")
MADE = ("features", "verdicts", "embeddings", "evaluation_sets", "duplicates")
POINTERS = {"current/clip_embeddings.json", "current/safety_verdicts.json"}
MINE = "extends: default\nmin_side: 70\n"


@pytest.fixture
def homes(tmp_path: Path, crawl_into: Callable[..., list[str]], shapes: Any, draw: Callable[..., Image.Image]) -> Callable[[], Store]:
    """Gives homes with the same crawl, the same known truth, the same evaluation set and the same tiny CLIP in them."""
    exam = tmp_path / "exam"
    exam.mkdir()
    leaked, small = draw("cross", "yellow", 77, 128), draw("circle", "blue", 5, 64)
    leaked.save(exam / "leaked.png")
    rows = [row | {"image": row["image"].resize((96, 96)), "url": f"http://a.test/{n}.png"} for n, row in enumerate(shapes(14))]
    rows += [rows[3] | {"caption": "a copy of the third drawing", "url": "http://a.test/copy.png"}]
    rows += [{"caption": "a yellow cross", "image": leaked}, {"caption": "a small blue circle", "image": small}]
    first = open_store(tmp_path / "home")
    crawl_into(first, rows)
    truth = {"url_path": "/5.png", "concept": "c", "concept_label": "a concept", "style": "s", "attributes": "", "split": "held_out"}
    truth |= {"planted": "", "duplicate_of": ""}
    write_parquet(first, TRUTH, pa.Table.from_pylist([truth]))
    add_folder(first, "exam", exam)
    write_clip(first)
    numbers = itertools.count()

    def new() -> Store:
        return open_store(shutil.copytree(first.root, tmp_path / f"home-{next(numbers)}"))

    return new


def write_clip(store: Store) -> None:
    """A CLIP with real, untrained networks, as a training leaves it."""
    torch.manual_seed(0)
    tower = TowerConfig(width=32, depth=1, heads=2)
    tokenizer = Tokenizer.train(["a red ball", "a blue apple"], vocab_size=300, context=8)
    config = ClipConfig(image_size=16, patch_size=8, vision=tower, text=tower, vocab_size=tokenizer.vocab_size, context=8, embed_dim=16)
    store.path("models/clip/first").mkdir(parents=True)
    tokenizer.save(store.path("models/clip/first/tokenizer.json"))
    with store.writing("models/clip/first/weights.safetensors") as part:
        checkpoint.save(part, build_network(config), config)
    point(store, "clip_model", "first", "0" * 64)


def environment_of(store: Store, policy: Path | None = None) -> Environment:
    return Environment(
        deployment="local", home=store.root, tracking_uri=default_tracking_uri(store.root), size="tiny", curation_policy=policy
    )


def materialized(store: Store, policy: Path | None = None, published: bool = False) -> list[dg.ExecuteInProcessResult]:
    """The assets from the features of pictures to the final verdicts; CLIP, which is trained between the two halves, is left as it is."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(CRAWL_BATCHES, ["a"])
        job = build(resources_for(environment_of(store, policy))).resolve_job_def("curate")
        parts = (ASSETS[:7], ASSETS[7:]) + ((PUBLISHED,) if published else ())
        return [
            job.execute_in_process(instance=instance, partition_key="a", asset_selection=[dg.AssetKey(name) for name in part])
            for part in parts
        ]


def contents(store: Store) -> Mapping[str, object]:
    """What curation wrote: the bytes of tables and vectors, the digests of manifests, the pointers."""
    names = [
        name for name in store.names() if name.split("/")[0] in ("features", "verdicts", "embeddings", "evaluation_sets", "duplicates")
    ]
    found: dict[str, object] = {name: store.read_json(name) for name in store.names("current/")}
    return found | {name: store.read_json(name)["digest"] if name.endswith(".json") else store.read_bytes(name) for name in names}


def shown(results: list[dg.ExecuteInProcessResult], asset: str) -> dict[str, object]:
    events = [event for result in results for event in result.get_asset_materialization_events()]
    (event,) = [event for event in events if event.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_command_and_the_assets_give_the_same_files_and_pointers(homes: Callable[[], Store]) -> None:
    by_command, by_assets = homes(), homes()
    curate(by_command, load_policy(), Processes(1), own_clip(by_command))
    results = materialized(by_assets)
    assert all(result.success for result in results)
    mine, theirs = contents(by_command), contents(by_assets)
    assert sorted(mine) == sorted(theirs)
    assert [name for name in mine if mine[name] != theirs[name]] == []
    assert {"verdicts/held_out.parquet", "features/leaks.parquet", "current/clip_embeddings.json", "current/safety_verdicts.json"} <= set(
        mine
    )
    verdicts = [reason for row in read_verdicts(by_command, "final").to_pylist() for reason in row["reasons"]]
    assert verdicts.count("evaluation_leak") == 1 and verdicts.count("duplicate_exact") == 1
    assert shown(results, "rule_verdicts").items() >= {"policy": "default", "policy_version": load_policy().version}.items()


def test_the_assets_run_every_step_of_the_pipeline_once_and_in_its_order() -> None:
    assert (*ASSETS[:-1], *EMBEDDED) == NAMES
    assert [asset for asset in ASSETS if asset in NAMES and STEPS[NAMES.index(asset)].per_batch] == [
        "picture_features",
        "caption_features",
        "safety_features",
        "face_features",
        "clip_embeddings",
    ]
    assert clip_embeddings.partitions_def is not None


def test_the_policy_of_the_deployment_decides_in_every_asset(homes: Callable[[], Store], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    policy, by_command, by_assets = load_policy(path), homes(), homes()
    environment = read_environment({"UNCLIP_HOME": str(by_assets.root), "UNCLIP_CURATION_POLICY": str(path)})
    assert environment.curation_policy == path and read_environment({}).curation_policy is None
    results = materialized(by_assets, environment.curation_policy)
    curate(by_command, policy, Processes(1), own_clip(by_command))
    assert contents(by_command) == contents(by_assets)
    for asset in ("rule_verdicts", "safety_verdicts", "duplicate_verdicts"):
        said = {"policy": "mine", "policy_version": policy.version, "policy_path": str(path)}
        assert shown(results, asset).items() >= said.items()
    versions = {row["policy_version"] for row in read_verdicts(by_assets, "final").to_pylist()}
    assert versions == {policy.version} != {load_policy().version}
    assert sum("too_small_side" in row["reasons"] for row in read_verdicts(by_assets, "final").to_pylist()) == 1


def test_the_published_set_and_its_checks_are_of_the_deployments_policy(homes: Callable[[], Store], tmp_path: Path) -> None:
    path, store = tmp_path / "mine.yaml", homes()
    path.write_text(MINE)
    results = materialized(store, path, published=True)
    for asset in PUBLISHED:
        assert shown(results, asset).items() >= {"policy": "mine", "policy_version": load_policy(path).version}.items()
    checks = {one.check_name: one for one in results[-1].get_asset_check_evaluations()}
    assert checks["nothing_explicit"].passed and checks["nothing_leaks"].passed
    assert checks["nothing_explicit"].metadata["policy"].value == "mine"


def test_a_policy_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        CurationPolicy(path=str(tmp_path / "none.yaml")).load()


def test_a_step_needs_a_batch_when_it_is_done_batch_by_batch(homes: Callable[[], Store]) -> None:
    curation = Curation(store=homes(), policy=load_policy(), engine=Processes(1))
    with pytest.raises(AssertionError, match="batch by batch"):
        run_step("picture_features", curation)
    assert run_step("clip_embeddings", curation, "a") is None, "without an embedder there is nothing to embed"


def test_embeddings_of_another_clip_are_not_searched_by_the_homes_own(homes: Callable[[], Store]) -> None:
    store = homes()
    assert find(store, "clip_embeddings") is None
    point(store, "clip_embeddings", "99999999", "0" * 64)
    with pytest.raises(UserError, match="--clip"):
        open_space(store)

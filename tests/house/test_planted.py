"""Guards that guard: each breach is planted in the real tree, and its guard names it and nothing else."""

from collections.abc import Callable

import pytest

from guards import environment, graph, libraries, shape, unpickling
from guards.sources import Tree, read_tree, with_lines

Guard = Callable[[Tree], list[str]]


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    return read_tree()


def planted(guard: Guard, tree: Tree, path: str, lines: str) -> list[str]:
    """What the guard says of the tree with lines planted, and did not say before."""
    before = guard(tree)
    return [breach for breach in guard(with_lines(tree, path, lines)) if breach not in before]


def one(guard: Guard, tree: Tree, path: str, lines: str) -> str:
    """The one breach that planting makes."""
    (breach,) = planted(guard, tree, path, lines)
    return breach


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("deploy/unclip_release/gates.py", "import mlflow"),
        ("deploy/unclip_release/gates.py", "def late():\n    from mlflow.tracking import MlflowClient"),
        ("training/unclip_training/callbacks.py", "import mlflow.pytorch"),
        ("datasets/unclip_curation/scorers/probes.py", "import importlib\nimportlib.import_module('mlflow')"),
        ("datasets/unclip_curation/duplicates/union_find.py", "import torch"),
        ("datasets/unclip_curation/duplicates/union_find.py", "from importlib import import_module as get\nget('torch.nn')"),
        ("datasets/unclip_labels/fitting.py", "def late():\n    import torch.nn as nn"),
        ("datasets/unclip_pairs/shards.py", "import webdataset"),
        ("deploy/unclip_server/api/app.py", "__import__('torch')"),
        ("training/unclip_models/prior.py", "from lightning.pytorch import Trainer"),
        ("training/unclip_evaluation/sheet.py", "import lightning"),
        ("datasets/unclip_starter/build.py", "import dagster as dg"),
        ("deploy/unclip_release/lineage.py", "from dagster import asset"),
        ("training/unclip_training/fit.py", "import dagster_pipes"),
        ("deploy/unclip_safety/outputs.py", "from fastapi import HTTPException"),
        ("orchestration/unclip_orchestration/cli.py", "import starlette.responses"),
        ("datasets/unclip_crawl/consent.py", "import scrapy"),
        ("datasets/unclip_curation/policy.py", "import ray"),
    ],
)
def test_a_library_outside_its_home_is_seen(tree: dict[str, str], path: str, lines: str) -> None:
    assert one(libraries.outside_their_home, tree, path, lines).startswith(f"{path}:")


@pytest.mark.parametrize(
    "lines",
    [
        "import os\nHOME = os.environ['HOME']",
        "import os\nALL = dict(os.environ)",
        "import os\nHOME = os.getenv('HOME')",
        "import os as system\nHOME = system.environ.get('HOME')",
        "from os import environ",
        "from os import getenv as get",
        "import os\nHOME = os.environb[b'HOME']",
        "import os\nHOME = getattr(os, 'environ')",
        "import os\nHOME = os.path.expandvars('$HOME')",
        "import os, subprocess\nsubprocess.run(['true'], env={**os.environ, 'A': 'b'})",
        "import os\nos.environ.setdefault('A', 'b')",
        "import os\nwith_default = os.environ.setdefault('A', 'b')",
        "import typer\noption = typer.Option(envvar='HOME')",
    ],
)
@pytest.mark.parametrize("path", ["datasets/unclip_crawl/settings.py", "orchestration/unclip_assets/resources.py"])
def test_reading_the_environment_elsewhere_is_seen(tree: dict[str, str], path: str, lines: str) -> None:
    assert one(environment.read_outside_settings, tree, path, lines).startswith(f"{path}:")


def test_where_defaults_are_set_for_ray_reading_is_seen(tree: dict[str, str]) -> None:
    ray = environment.DEFAULTS_FOR_RAY
    assert planted(environment.read_outside_settings, tree, ray, "import os\nos.environ.setdefault('RAY_B', '0')") == []
    assert len(planted(environment.read_outside_settings, tree, ray, "import os\na = os.environ.setdefault('RAY_B', '0')")) == 1


@pytest.mark.parametrize(
    "lines",
    [
        "import pickle\npickle.load(open('a', 'rb'))",
        "from pickle import loads as read\nread(b'')",
        "import torch\ntorch.load('a')",
        "import torch as t\nt.load('a', weights_only=False)",
        "from torch import load\nload('a')",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "import numpy\nnumpy.load('a', allow_pickle=anything)",
        "import pandas as pd\npd.read_pickle('a')",
        "import yaml\nyaml.load('a', yaml.Loader)",
        "import joblib",
        "import shelve",
        "Stage.load_from_checkpoint('a')",
    ],
)
def test_opening_a_pickle_is_seen(tree: dict[str, str], lines: str) -> None:
    path = "training/unclip_evaluation/distances.py"
    breaches = planted(unpickling.unpickles, tree, path, lines)
    assert breaches
    assert all(breach.startswith(f"{path}:") for breach in breaches)


def test_a_circle_between_files_is_seen(tree: dict[str, str]) -> None:
    """Three files; the arrow that closes the circle is inside a function."""
    there = with_lines(tree, "deploy/unclip_release/first.py", "from unclip_release.second import answer")
    there = with_lines(there, "deploy/unclip_release/second.py", "import unclip_release.third")
    closing = "def late():\n    from unclip_release import first"
    circle = "unclip_release.first <-> unclip_release.second <-> unclip_release.third"
    assert one(graph.circles_between_files, there, "deploy/unclip_release/third.py", closing) == circle


def test_a_circle_between_rooms_without_one_between_files_is_seen(tree: dict[str, str]) -> None:
    there = with_lines(tree, "datasets/unclip_curation/red/a.py", "from unclip_curation.blue import a")
    there = with_lines(there, "datasets/unclip_curation/blue/a.py", "")
    there = with_lines(there, "datasets/unclip_curation/red/b.py", "")
    back = "def late():\n    import unclip_curation.red.b"
    assert planted(graph.circles_between_files, there, "datasets/unclip_curation/blue/b.py", back) == []
    assert (
        one(graph.circles_between_rooms, there, "datasets/unclip_curation/blue/b.py", back)
        == "unclip_curation.blue <-> unclip_curation.red"
    )


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("datasets/unclip_pairs/store.py", "from unclip_crawl import consent"),
        ("datasets/unclip_crawl/pages/html.py", "def late():\n    import unclip_curation.policy"),
        ("datasets/unclip_curation/policy.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import unclip_models.prior"),
        ("datasets/unclip_labels/pool.py", "from unclip_starter import build"),
        ("deploy/unclip_release/gates.py", "from unclip_assets.settings import read_environment"),
    ],
)
def test_an_arrow_up_is_seen(tree: dict[str, str], path: str, lines: str) -> None:
    assert one(graph.arrows_up, tree, path, lines)


def test_a_heavy_library_behind_another_module_is_seen(tree: dict[str, str]) -> None:
    """The module that loads it lies in a sub-package, and each light module that leads there is named with its way."""
    path = "datasets/unclip_curation/decisions/rules.py"
    breaches = planted(libraries.heavy_in_light_rooms, tree, path, "import faiss")
    assert "unclip_curation.decisions.rules -> faiss" in breaches
    assert any(breach.startswith("unclip_assets.") for breach in breaches)
    assert planted(libraries.heavy_in_light_rooms, tree, path, "def late():\n    import faiss") == []


@pytest.mark.parametrize(
    ("guard", "path", "lines"),
    [
        (shape.code_in_inits, "datasets/unclip_curation/scorers/__init__.py", "from unclip_curation.policy import load_policy"),
        (shape.code_in_inits, "datasets/unclip_curation/fresh/__init__.py", ""),
        (shape.undescribed, "datasets/unclip_curation/fresh.py", "import json"),
        (shape.drawers, "datasets/unclip_curation/utils.py", '"""Utilities."""'),
        (shape.drawers, "tests/training/helpers/figures.py", '"""Helpers."""'),
        (shape.relative_imports, "datasets/unclip_curation/policy.py", "from . import tables"),
        (shape.long_files, "benchmarks/fetch.py", "\n" * 400),
        (shape.long_functions, "datasets/unclip_curation/policy.py", "def long():\n" + "    pass\n" * 40),
    ],
)
def test_a_breach_of_the_shape_is_seen(tree: dict[str, str], guard: Guard, path: str, lines: str) -> None:
    assert path in one(guard, tree, path, lines)


@pytest.mark.parametrize("folder", ["datasets/unclip_curation/decisions", "tests/house/guards", "benchmarks"])
def test_a_crowded_folder_is_seen(tree: dict[str, str], folder: str) -> None:
    crowded = {**tree, **{f"{folder}/added_{number}.py": "" for number in range(21)}}
    assert [breach for breach in shape.crowded_folders(crowded) if breach.startswith(f"{folder}: ")] != []


def test_a_median_that_grows_is_seen(tree: dict[str, str]) -> None:
    lines = "\n".join(f"def long_{number}():\n" + "    pass\n" * 20 for number in range(3000))
    assert any("median" in breach for breach in planted(shape.long_functions, tree, "datasets/unclip_curation/policy.py", lines))

"""House in shape: the guards of `tests/house/guards` have nothing to say of the real tree; `tests/house` plants breaches for each."""

import tomllib
from collections.abc import Callable

import pytest

from guards import environment, graph, libraries, shape, unpickling
from guards.sources import ROOT, SHELVES, Tree, read_tree

GUARDS = (
    graph.circles_between_files,
    graph.circles_between_rooms,
    graph.arrows_up,
    libraries.outside_their_home,
    libraries.heavy_in_light_rooms,
    environment.read_outside_settings,
    unpickling.unpickles,
    shape.crowded_folders,
    shape.long_files,
    shape.long_functions,
    shape.code_in_inits,
    shape.undescribed,
    shape.drawers,
    shape.relative_imports,
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_the_tree_has_no(guard: Callable[[Tree], list[str]]) -> None:
    assert guard(read_tree()) == []


def test_a_shelf_is_a_folder_and_not_a_package() -> None:
    assert [shelf for shelf in SHELVES if (ROOT / shelf / "__init__.py").exists()] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_package_is_in_the_wheel_and_under_the_import_contracts() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = {f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("*/unclip_*/__init__.py")}
    names = {package.split("/")[1] for package in packages}
    assert packages == set(settings["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert names == set(settings["importlinter"]["root_packages"])
    assert names == set().union(*graph.floors())


def test_a_shelf_holds_packages_and_side_folders_that_shadow_nothing() -> None:
    allowed = {"container", "kubernetes", "slurm", "__pycache__"}
    folders = [path for shelf in SHELVES for path in (ROOT / shelf).iterdir() if path.is_dir()]
    assert [str(path) for path in folders if not path.name.startswith("unclip_") and path.name not in allowed] == []

"""Light rooms: importing every module of them, in a process of its own, loads nothing heavy, not even by way of another library."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from guards.libraries import HEAVY, HEAVY_ROOMS, LIGHT_PACKAGES, light_modules
from guards.sources import ROOT, SHELVES, read_tree, with_lines

# walks the packages as Python finds them, sub-packages included, and says what it imported and what heavy library came along
WALK = """
import importlib, json, pkgutil, sys
shelves, packages, left_out, heavy = json.loads(sys.argv[1])
sys.path[:0] = shelves
found = []
for package in packages:
    top = importlib.import_module(package)
    assert any(top.__file__.startswith(shelf) for shelf in shelves), top.__file__
    found += [package, *(module.name for module in pkgutil.walk_packages(top.__path__, package + "."))]
found = [name for name in found if not name.endswith("__main__") and not (name + ".").startswith(tuple(room + "." for room in left_out))]
for name in found:
    importlib.import_module(name)
print(json.dumps([sorted(found), sorted(name for name in heavy if name in sys.modules)]))
"""


def walk(root: Path) -> tuple[list[str], list[str]]:
    """The modules imported and the heavy libraries loaded, for the packages under a root."""
    shelves = [str(root / shelf) for shelf in SHELVES]
    question = json.dumps([shelves, sorted(LIGHT_PACKAGES), HEAVY_ROOMS, sorted(HEAVY)])
    command = [sys.executable, "-c", WALK, question]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert answer.returncode == 0, answer.stderr
    found, heavy = json.loads(answer.stdout)
    return found, heavy


def test_importing_every_light_module_loads_nothing_heavy() -> None:
    found, heavy = walk(ROOT)
    assert heavy == []
    assert found == sorted(light_modules(read_tree()))
    assert {name.split(".")[0] for name in found} == LIGHT_PACKAGES


def test_a_heavy_library_planted_in_a_sub_package_is_seen(tmp_path: Path) -> None:
    for shelf in SHELVES:
        shutil.copytree(ROOT / shelf, tmp_path / shelf, ignore=shutil.ignore_patterns("__pycache__"))
    path = "datasets/unclip_curation/duplicates/union_find.py"
    (tmp_path / path).write_text(with_lines(read_tree(), path, "import faiss")[path])
    (tmp_path / "datasets/unclip_labels/fresh").mkdir()
    (tmp_path / "datasets/unclip_labels/fresh/__init__.py").write_text('"""Sub-package that nobody listed."""')
    (tmp_path / "datasets/unclip_labels/fresh/room.py").write_text("import onnxruntime")
    found, heavy = walk(tmp_path)
    assert heavy == ["faiss", "onnxruntime"]
    assert "unclip_labels.fresh.room" in found

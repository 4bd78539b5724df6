"""Holds the house in shape: shelves, sizes, names, and what importing may touch."""

import ast
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHELVES = ("datasets", "training", "deploy", "orchestration")
LIGHT_ROOMS = (
    *("unclip_pairs", "unclip_crawl", "unclip_curation", "unclip_labels", "unclip_safety", "unclip_release"),
    *("unclip_assets", "unclip_orchestration"),
)
HEAVY = ("torch", "lightning", "clip_retrieval", "mlflow", "scrapy", "onnxruntime", "faiss", "ray")
FORBIDDEN_NAMES = {"utils", "common", "misc", "helpers"}


def sources() -> list[Path]:
    return [path for shelf in SHELVES for path in sorted((ROOT / shelf).rglob("*.py"))]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0)


def test_a_shelf_is_a_folder_and_not_a_package() -> None:
    assert [shelf for shelf in SHELVES if (ROOT / shelf / "__init__.py").exists()] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_room_is_in_the_wheel_and_under_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    rooms = {f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("*/unclip_*/__init__.py")}
    assert rooms == set(settings["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert {room.split("/")[1] for room in rooms} == set(settings["importlinter"]["root_packages"])


def test_a_shelf_holds_rooms_and_side_folders_that_shadow_nothing() -> None:
    allowed = {"container", "kubernetes", "slurm", "__pycache__"}
    folders = [path for shelf in SHELVES for path in (ROOT / shelf).iterdir() if path.is_dir()]
    assert [str(path) for path in folders if not path.name.startswith("unclip_") and path.name not in allowed] == []


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    files = [*sources(), *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    assert [f"{path.relative_to(ROOT)}: {n}" for path in files if (n := len(path.read_text().splitlines())) > 400] == []


def test_functions_are_short() -> None:
    lengths = {f"{path.relative_to(ROOT)}:{f.name}": length(f) for path in sources() for f in functions(path)}
    assert [name for name, lines in lengths.items() if lines > 40] == []
    assert statistics.median(lengths.values()) <= 12


def test_an_init_holds_a_docstring_and_nothing_else() -> None:
    for path in ROOT.glob("*/unclip_*/**/__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, f"{path} holds more than its docstring"
        assert isinstance(body[0], ast.Expr), f"{path} has no docstring"


def test_every_module_says_what_it_is_and_none_is_a_drawer() -> None:
    assert [str(path) for path in sources() if ast.get_docstring(ast.parse(path.read_text())) is None] == []
    assert [str(path) for path in sources() if path.stem in FORBIDDEN_NAMES] == []


def test_the_environment_is_read_at_the_doors_only() -> None:
    doors = {"resources.py", "settings.py"}
    words = ("os.environ[", "os.environ.get", "getenv")
    readers = [path for path in sources() if any(word in path.read_text() for word in words)]
    assert [str(path.relative_to(ROOT)) for path in readers if path.name not in doors] == []


def test_importing_the_light_rooms_imports_nothing_heavy() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / path.relative_to(ROOT).parts[0]).with_suffix("").parts).removesuffix(".__init__")
        for path in sources()
        if path.parent.name in LIGHT_ROOMS and path.stem != "__main__" and not path.stem.endswith("spider")
    ]
    script = f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; print([m for m in {HEAVY!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"

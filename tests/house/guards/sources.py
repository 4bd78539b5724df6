"""Tree of sources that the guards read: path below the repository's root -> text. A planted breach is one more entry."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[3]
SHELVES = ("datasets", "training", "deploy", "orchestration")
FOLDERS = (*SHELVES, "tests", "benchmarks")

Tree = Mapping[str, str]


def read_tree(root: Path = ROOT) -> dict[str, str]:
    """Every Python file of the shelves, the tests and the benchmarks."""
    paths = (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py")))
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}


def with_lines(tree: Tree, path: str, lines: str) -> dict[str, str]:
    """The tree with lines put at the end of a file, which is made when it is not there."""
    return {**tree, path: f"{tree.get(path, '')}\n{lines}\n"}


def on_shelves(tree: Tree) -> dict[str, str]:
    """The sources of the packages, without tests and benchmarks."""
    return {path: text for path, text in tree.items() if path.split("/")[0] in SHELVES}


@cache
def parse(text: str) -> ast.Module:
    """The syntax tree of a text; each text is parsed once."""
    return ast.parse(text)


@cache
def nodes(text: str) -> tuple[ast.AST, ...]:
    """Every node of a text."""
    return tuple(ast.walk(parse(text)))


def module_name(path: str) -> str:
    """`datasets/unclip_pairs/store.py` is `unclip_pairs.store`, and an `__init__.py` is its package."""
    parts = PurePosixPath(path).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(tree: Tree) -> dict[str, str]:
    """Module name -> path, for the packages on the shelves."""
    return {module_name(path): path for path in on_shelves(tree)}


def package(module: str) -> str:
    """The package at the top of a module's name."""
    return module.split(".")[0]


def room(module: str) -> str:
    """The room of a module: its folder below the package, or the module itself when it lies at the package's root."""
    return ".".join(module.split(".")[:2])

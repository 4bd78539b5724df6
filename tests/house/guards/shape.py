"""Shape of the files: sizes, names, docstrings, and how many lie in one folder."""

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from guards.sources import Tree, nodes, on_shelves, parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, MEDIAN_LINES_OF_A_FUNCTION, MOST_FILES_OF_A_FOLDER = 400, 40, 12, 20
DRAWERS = {"utils", "util", "common", "misc", "helpers", "helper"}


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0)


def _functions(tree: Tree) -> Iterator[tuple[str, int]]:
    for path, text in on_shelves(tree).items():
        for node in nodes(text):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", length(node)


def long_files(tree: Tree) -> list[str]:
    """Files of more than 400 lines, tests and benchmarks included."""
    return [f"{path}: {lines} lines" for path, text in tree.items() if (lines := len(text.splitlines())) > MOST_LINES_OF_A_FILE]


def long_functions(tree: Tree) -> list[str]:
    """Functions of more than 40 lines; and the median, when it is more than 12."""
    lengths = dict(_functions(tree))
    median = statistics.median(lengths.values())
    too_long = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION]
    return too_long + ([f"the median function has {median} lines"] if median > MEDIAN_LINES_OF_A_FUNCTION else [])


def crowded_folders(tree: Tree) -> list[str]:
    """Folders with more than 20 Python files, tests and benchmarks included."""
    counts = Counter(str(PurePosixPath(path).parent) for path in tree)
    return [f"{folder}: {count} files" for folder, count in counts.items() if count > MOST_FILES_OF_A_FOLDER]


def code_in_inits(tree: Tree) -> list[str]:
    """`__init__.py` files that hold more than their docstring, or not even that."""
    inits = {path: parse(text) for path, text in on_shelves(tree).items() if path.endswith("__init__.py")}
    return [path for path, module in inits.items() if len(module.body) != 1 or ast.get_docstring(module) is None]


def undescribed(tree: Tree) -> list[str]:
    """Modules without a docstring."""
    return [path for path, text in on_shelves(tree).items() if ast.get_docstring(parse(text)) is None]


def drawers(tree: Tree) -> list[str]:
    """Modules and folders with a name that could hold anything."""
    return [path for path in tree if DRAWERS & set(PurePosixPath(path).with_suffix("").parts)]


def relative_imports(tree: Tree) -> list[str]:
    """Imports that begin with a dot."""
    return [
        f"{path}:{node.lineno}" for path, text in tree.items() for node in nodes(text) if isinstance(node, ast.ImportFrom) and node.level
    ]

"""Imports of a text, wherever they stand: at the top, inside a function, or spelt as a call of `import_module`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from guards.sources import nodes, parse


@dataclass(frozen=True)
class Import:
    """One imported name: the module as written, and the name taken from it (empty for `import module`)."""

    module: str
    name: str
    line: int

    @property
    def library(self) -> str:
        """The top of the module's name."""
        return self.module.split(".")[0]


def _of_statement(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, "", node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (Import(node.module or "", alias.name, node.lineno) for alias in node.names)


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of names and attributes; an empty string for every other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)):
        return f"{start}.{node.attr}"
    return ""


def _full_names(text: str) -> dict[str, str]:
    """What a name stands for: `np` is numpy after `import numpy as np`, `load` is torch.load after `from torch import load`."""
    full: dict[str, str] = {}
    for node in nodes(text):
        if isinstance(node, ast.Import):
            full |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            full |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return full


@cache
def calls(text: str) -> tuple[tuple[str, ast.Call], ...]:
    """Every call of a dotted name, under the name that its imports give it, such as ("torch.load", node)."""
    full = _full_names(text)
    named = ((_dotted(node.func), node) for node in nodes(text) if isinstance(node, ast.Call))
    return tuple((".".join([full.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]), call) for name, call in named if name)


def _of_calls(text: str) -> Iterator[Import]:
    """`import_module("x")`, `importlib.import_module("x")` and `__import__("x")`."""
    for name, call in calls(text):
        if name in ("importlib.import_module", "__import__") and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Import(first.value, "", call.lineno)


@cache
def imports(text: str) -> tuple[Import, ...]:
    """Every import of a text, those for type checking and those inside functions included."""
    return (*(found for node in nodes(text) for found in _of_statement(node)), *_of_calls(text))


def _runs_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that run when the module is imported: no function bodies, nothing under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _runs_at_import(child)


@cache
def imports_at_import(text: str) -> tuple[Import, ...]:
    """The imports that happen as soon as the module itself is imported."""
    return tuple(found for node in _runs_at_import(parse(text)) for found in _of_statement(node))

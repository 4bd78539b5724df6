"""Graph of the imports between the project's own modules: circles between files, circles between rooms, arrows up the floors."""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from guards.imports import Import, imports, imports_at_import
from guards.sources import ROOT, Tree, modules, package, room

Graph = Mapping[str, set[str]]


def floors() -> list[set[str]]:
    """The packages of each floor, the lowest first, as the import contract in `pyproject.toml` names them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [{name.strip() for name in layer.split("|")} for layer in reversed(layers)]


def _target(found: Import, known: Mapping[str, str]) -> str | None:
    """The project's module that an import means, or None when it is a library's."""
    name = f"{found.module}.{found.name}" if found.name else found.module
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def import_graph(tree: Tree, find: Callable[[str], Sequence[Import]] = imports) -> dict[str, set[str]]:
    """Module -> the project's modules it imports; `find` says which imports of a text count."""
    known = modules(tree)
    return {
        module: {target for found in find(tree[path]) if (target := _target(found, known)) and target != module}
        for module, path in known.items()
    }


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(graph[here])
    return seen


def _circles(graph: Graph) -> list[str]:
    """Each set of nodes that reach one another, as one line."""
    beyond = {node: _reachable(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in beyond[node] if node in beyond[other])) for node in graph if node in beyond[node]}
    return [" <-> ".join(group) for group in sorted(groups)]


def circles_between_files(tree: Tree) -> list[str]:
    """Modules that import each other, directly or by way of others."""
    return _circles(import_graph(tree))


def circles_between_rooms(tree: Tree) -> list[str]:
    """Rooms of one package that import each other, directly or by way of others."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module, targets in import_graph(tree).items():
        own = {room(target) for target in targets if package(target) == package(module)}
        graph[room(module)] |= own - {room(module)}
        for name in own:
            graph[name] |= set()
    return _circles(graph)


def arrows_up(tree: Tree) -> list[str]:
    """Imports from a higher floor, or from a neighbour on the same floor."""
    floor = {name: number for number, names in enumerate(floors()) for name in names}
    return [
        f"{module} imports {target}"
        for module, targets in import_graph(tree).items()
        for target in sorted(targets)
        if package(module) != package(target) and floor[package(target)] >= floor[package(module)]
    ]


def _chains(tree: Tree, start: str, graph: Graph) -> Iterator[tuple[list[str], Import]]:
    """Every library import that happens when `start` is imported, with the modules that lead to it."""
    known = modules(tree)
    todo, seen = [[start]], {start}
    while todo:
        chain = todo.pop(0)
        for found in imports_at_import(tree[known[chain[-1]]]):
            if _target(found, known) is None:
                yield chain, found
        for target in sorted(graph[chain[-1]] - seen):
            seen.add(target)
            todo.append([*chain, target])


def imported_with(tree: Tree, start: Sequence[str], libraries: set[str]) -> list[str]:
    """The chains by which importing one of `start` imports one of the libraries at once."""
    graph = import_graph(tree, imports_at_import)
    return [
        " -> ".join([*chain, found.library])
        for module in start
        for chain, found in _chains(tree, module, graph)
        if found.library in libraries
    ]

"""Distributions that the project declares, by extra, and the libraries that its files import."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from guards.graph import import_graph
from guards.imports import imports
from guards.sources import ROOT, Tree, modules, package

EXTRA_OF_SHELF = {"datasets": "data", "training": "train", "deploy": "serve", "orchestration": "orchestrate"}
OPTIONAL = ("retrieval", "toxicity", "ray", "open-weights")  # extras without which a shelf works, with less


@lru_cache(maxsize=1)
def project() -> dict[str, Any]:
    """The `[project]` table of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    """What the project requires with these extras; an extra that names other extras brings theirs."""
    lines = [*project()["dependencies"], *(line for extra in extras for line in project()["optional-dependencies"][extra])]
    return [one for line in lines for one in _unfolded(Requirement(line))]


def _unfolded(requirement: Requirement) -> list[Requirement]:
    return requirements(*requirement.extras) if requirement.name == project()["name"] else [requirement]


def declared(*extras: str) -> set[str]:
    """The names of the distributions that these extras and the base declare."""
    return {canonicalize_name(one.name) for one in requirements(*extras)}


def installed_apart() -> set[str]:
    """The distributions that `make setup` installs without their dependencies, because those would do harm."""
    line = re.search(r"^APART := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {canonicalize_name(Requirement(one).name) for one in line[1].split()} if line else set()


@lru_cache(maxsize=1)
def distributions_of() -> dict[str, set[str]]:
    """Import name -> the installed distributions that provide it."""
    return {name: {canonicalize_name(one) for one in found} for name, found in packages_distributions().items()}


def libraries(texts: Iterable[str]) -> set[str]:
    """The libraries that texts import, neither Python's own nor the project's."""
    found = {one.library for text in texts for one in imports(text) if one.library}
    own = sys.stdlib_module_names | {"_typeshed"}  # the type checker's own, never there when the program runs
    return {name for name in found if name not in own and not name.startswith("unclip_")}


def undeclared(texts: Iterable[str], allowed: set[str]) -> list[str]:
    """The libraries that texts import and that no allowed distribution provides."""
    return sorted(name for name in libraries(texts) if not distributions_of().get(name, {canonicalize_name(name)}) & allowed)


def packages_of(shelf: str, tree: Tree) -> set[str]:
    """The packages on a shelf."""
    return {package(module) for module, path in modules(tree).items() if path.startswith(f"{shelf}/")}


def reached(tree: Tree, shelf: str) -> Iterator[str]:
    """The texts of a shelf and of every module below that they import, inside functions too."""
    known, graph = modules(tree), import_graph(tree)
    todo = [module for module, path in known.items() if path.startswith(f"{shelf}/")]
    seen = set(todo)
    while todo:
        module = todo.pop()
        yield tree[known[module]]
        todo += graph[module] - seen
        seen |= graph[module]


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """The distributions that would be installed for requirements, theirs included, as far as they are installed here."""
    todo, seen = [(one.name, frozenset(one.extras)) for one in wanted if _applies(one, frozenset())], set[tuple[str, frozenset[str]]]()
    while todo:
        name, extras = todo.pop()
        if (key := (canonicalize_name(name), extras)) in seen:
            continue
        seen.add(key)
        todo += [(one.name, frozenset(one.extras)) for one in _required_by(name) if _applies(one, extras)]
    return {name for name, _ in seen}


def _required_by(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def hidden(*extras: str) -> list[str]:
    """The distributions that are installed here and would not be with these extras alone."""
    installed = set[str]().union(*distributions_of().values())
    return sorted(installed - closure(requirements(*extras)) - {project()["name"]})


def blocked(*extras: str) -> list[str]:
    """The import names of what is installed here and would not be with these extras alone."""
    allowed = closure(requirements(*extras))
    foreign = {name for name, found in distributions_of().items() if not found & allowed and not name.startswith("unclip")}
    return sorted(foreign - set(sys.stdlib_module_names))  # a backport may have the name of what Python has itself by now

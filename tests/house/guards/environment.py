"""Environment variables: two files read them, whatever the spelling.

Not only `os.environ[...]`: `dict(os.environ)`, `from os import environ`, `os.environb`, `os.getenv`, `os.path.expandvars`,
`getattr(os, "environ")` and typer's `envvar=` are reading too, and so is handing `os.environ` to a child process: it inherits it unasked.
"""

import ast
from collections.abc import Iterator

from guards.sources import Tree, nodes, on_shelves

READERS = ("deploy/unclip_server/api/settings.py", "orchestration/unclip_assets/settings.py")
NAMES = {"environ", "environb", "getenv", "getenvb", "expandvars"}
DEFAULTS_FOR_RAY = "datasets/unclip_curation/engines/ray.py"  # Ray is steered by variables only: defaults are set there, none is read


def _set_defaults(text: str) -> set[ast.AST]:
    """The `os.environ` nodes of statements `os.environ.setdefault(...)`, whose answer nobody uses."""
    return {
        node.value.func.value
        for node in nodes(text)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "setdefault"
    }


def _readings(text: str) -> Iterator[tuple[ast.AST, int]]:
    for node in nodes(text):
        match node:
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if name in NAMES:
                yield node, node.lineno
            case ast.ImportFrom(module="os" | "posix" | "os.path", names=aliases) if NAMES & {alias.name for alias in aliases}:
                yield node, node.lineno
            case ast.keyword(arg="envvar"):
                yield node, node.lineno
            case _:
                pass


def read_outside_settings(tree: Tree) -> list[str]:
    """Places that read the environment outside the two settings files."""
    return [
        f"{path}:{line} reads the environment"
        for path, text in on_shelves(tree).items()
        if path not in READERS
        for allowed in [_set_defaults(text) if path == DEFAULTS_FOR_RAY else set[ast.AST]()]
        for node, line in _readings(text)
        if node not in allowed
    ]

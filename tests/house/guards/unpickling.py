"""Ways to run somebody else's code by opening a file: pickle and everything that is pickle inside."""

import ast

from guards.imports import calls, imports
from guards.sources import Tree, on_shelves

PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
# these name pickle's error, or open a file whose digest was compared with the known one just before
KNOWN = {("training/unclip_training/checkpoints.py", "pickle"), ("datasets/unclip_curation/scorers/toxicity.py", "joblib")}
OPENERS = {"load", "loads", "Unpickler"}


def _is(call: ast.Call, name: str, value: bool) -> bool:
    """Whether a call says `name=value` in so many words."""
    return any(
        keyword.arg == name and isinstance(keyword.value, ast.Constant) and keyword.value.value is value for keyword in call.keywords
    )


def _objection(name: str, call: ast.Call) -> str | None:
    start, _, last = name.rpartition(".")
    if start == "pickle" and last in OPENERS:
        return f"calls {name}"
    if name == "torch.load" and not _is(call, "weights_only", True):
        return "calls torch.load without weights_only=True"
    if last == "load_from_checkpoint" and not _is(call, "weights_only", True):
        return "calls load_from_checkpoint without weights_only=True"
    if any(keyword.arg == "allow_pickle" for keyword in call.keywords) and not _is(call, "allow_pickle", False):
        return f"calls {name} with allow_pickle"
    if last == "read_pickle" or name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        return f"calls {name}"
    return None


def unpickles(tree: Tree) -> list[str]:
    """Calls and imports by which a file could run code."""
    shelves = on_shelves(tree)
    called = [
        f"{path}:{call.lineno} {objection}"
        for path, text in shelves.items()
        for name, call in calls(text)
        if (objection := _objection(name, call))
    ]
    imported = [
        f"{path}:{found.line} imports {found.library}"
        for path, text in shelves.items()
        for found in imports(text)
        if found.library in PICKLES and (path, found.library) not in KNOWN
    ]
    return called + imported

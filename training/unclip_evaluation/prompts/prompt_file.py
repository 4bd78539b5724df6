"""Prompts file: the sets of prompts of a dataset version, or of one's own, as JSON.

`{"format": 1, "sets": {NAME: [{"prompt", "concept", "style", "scene" or null, "seen"}, ...]}}`; the names are `SETS`, each at most once.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.scene import read_scene
from unclip_pairs.errors import UserError

FORMAT = 1
OWN_WORDS, ATTRIBUTES, HELD_OUT, SCENES = SETS = ("own_words", "attributes", "held_out", "scenes")
PromptSets = dict[str, list[Prompt]]


def read_prompt_file(path: Path) -> PromptSets:
    """The prompts of each set; `UserError` in one sentence that names the file, the place and the remedy."""
    try:
        content: object = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"the prompts file {path} cannot be read ({error.strerror}); name a JSON file") from error
    except ValueError as error:
        raise UserError(f"the prompts file {path} is not valid JSON ({error}); mend it") from error
    return prompt_sets(content, str(path))


def prompt_sets(content: object, name: str) -> PromptSets:
    """The prompts of each set of the decoded file `name`; errors as in `read_prompt_file`."""
    fields = _mapping(content, name)
    if fields.get("format") != FORMAT:
        raise UserError(f"{name}: format is {fields.get('format')!r}, but only {FORMAT} is known; write the file for this version")
    sets = _mapping(fields.get("sets"), f"{name}: sets")
    if unknown := sorted(set(sets) - set(SETS)):
        raise UserError(f"{name}: sets names {', '.join(unknown)}; the sets are {', '.join(SETS)}")
    return {one: _entries(sets[one], f"{name}: {one}") for one in SETS if one in sets}


def _entries(value: object, where: str) -> list[Prompt]:
    if not isinstance(value, list):
        raise UserError(f"{where} is {value!r}; give a list of prompts")
    return [_prompt(entry, f"{where}[{place}]") for place, entry in enumerate(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _prompt(value: object, where: str) -> Prompt:
    fields = _mapping(value, where)
    texts: dict[str, str] = {}
    for name in ("prompt", "concept", "style"):
        text = fields.get(name)
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}: {name} is {text!r}; give a text")
        texts[name] = text
    seen, scene = fields.get("seen"), fields.get("scene")
    if not isinstance(seen, bool):
        raise UserError(f"{where}: seen is {seen!r}; say true where training has the combination, else false")
    return Prompt(texts["prompt"], Label(texts["concept"], texts["style"], None if scene is None else read_scene(scene, where)), seen)


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{where} is no JSON object; give one")
    return value  # pyright: ignore[reportUnknownVariableType] (decoded JSON has strings as keys)

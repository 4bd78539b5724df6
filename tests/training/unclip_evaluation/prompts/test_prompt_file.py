"""These tests read prompts files, good ones and such as a person might write."""

import json
from pathlib import Path
from typing import Any

import pytest

from unclip_evaluation.prompts.prompt import Label, Prompt
from unclip_evaluation.prompts.prompt_file import prompt_sets, read_prompt_file
from unclip_evaluation.prompts.scene import Scene, Thing, parse_scene
from unclip_pairs.errors import UserError

ENTRY = {"prompt": "an apple of red", "concept": "1f34e", "style": "noto", "scene": None, "seen": True}
SCENE = {"kind": "pair", "background": "blue", "background_rgb": [0, 0, 255], "relation": "above", "size": None}
THINGS = [{"concept": "1f34e", "label": "apple", "tone": None}, {"concept": "1f44b", "label": "hand", "tone": "dark"}]


def test_every_prompt_keeps_its_text_label_and_scene() -> None:
    entry = ENTRY | {"scene": SCENE | {"things": THINGS}, "seen": False}
    found = prompt_sets({"format": 1, "sets": {"own_words": [ENTRY], "scenes": [entry]}}, "prompts.json")
    assert found["own_words"] == [Prompt("an apple of red", Label("1f34e", "noto"))]
    expected = Scene("pair", "blue", (0, 0, 255), (Thing("1f34e"), Thing("1f44b", "dark")), "above")
    assert found["scenes"] == [Prompt("an apple of red", Label("1f34e", "noto", expected), seen=False)]
    assert found["scenes"][0].label.concepts == {"1f34e", "1f44b"} and not found["scenes"][0].label.is_single


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "is no JSON object"),
        ({"format": 2, "sets": {}}, "format is 2, but only 1 is known"),
        ({"format": 1, "sets": {"mine": []}}, "sets names mine; the sets are own_words, attributes, held_out, scenes"),
        ({"format": 1, "sets": {"own_words": "an apple"}}, "own_words is 'an apple'; give a list of prompts"),
        ({"format": 1, "sets": {"own_words": [ENTRY, ENTRY | {"prompt": " "}]}}, r"own_words\[1\]: prompt is ' '; give a text"),
        ({"format": 1, "sets": {"own_words": [ENTRY | {"seen": None}]}}, r"own_words\[0\]: seen is None; say true where"),
        ({"format": 1, "sets": {"scenes": [ENTRY | {"scene": SCENE}]}}, r"scenes\[0\]: scene.things is None; give at least one thing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        prompt_sets(content, "prompts.json")


@pytest.mark.parametrize(("field", "value"), [("kind", "heap"), ("background_rgb", [0, 0, 256]), ("relation", "under"), ("size", "huge")])
def test_a_scene_with_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"pair 1: scene.{field} is"):
        parse_scene(json.dumps(SCENE | {"things": THINGS, field: value}), "pair 1")


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_prompt_file(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        read_prompt_file(tmp_path / "bad.json")

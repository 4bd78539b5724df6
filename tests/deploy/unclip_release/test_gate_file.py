"""Tests of the gates file: YAML and JSON, and what is refused in one sentence."""

from pathlib import Path

import pytest

from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.gate_file import KNOWN, load_gate_policy
from unclip_release.gates import GatePolicy
from unclip_release.registry import open_registry


@pytest.mark.parametrize("text", ["max_copied: 0.01\ntolerance: 0\n", '{"max_copied": 0.01, "tolerance": 0}'])
def test_a_file_names_only_what_differs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    assert load_gate_policy(path) == GatePolicy(max_copied=0.01, tolerance=0.0)


def test_no_file_and_an_empty_file_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text("# nothing differs\n")
    assert load_gate_policy(tmp_path / "gates.yaml") == load_gate_policy() == GatePolicy()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_copies: 0.1", f"names max_copies, which no gate asks for; known ones are {', '.join(KNOWN)}"),
        ("max_copied: 3", "sets max_copied to 3; give a number from 0 to 1"),
        ("max_copied: true", "sets max_copied to True"),
        ("max_copied: .nan", "sets max_copied to nan"),
        ("max_copied: few", "sets max_copied to 'few'"),
        ("[max_copied]", "must map thresholds to rates"),
        ("max_copied: [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_gate_policy(path)
    assert told in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_gate_policy(tmp_path / "gates.yaml")


def test_other_thresholds_at_promotion_are_kept_with_the_version(
    registered_store: Store, bundle: Manifest, good_figures: dict[str, JsonValue]
) -> None:
    registry = open_registry(registered_store)
    registry.register(bundle, good_figures)
    with pytest.raises(UserError, match=r"10\.0% of the pictures are near copies of training pictures; at most 1\.0% may be"):
        registry.promote(policy=GatePolicy(max_copied=0.01))
    with pytest.raises(UserError, match=r"at most 1\.0% may be"):
        registry.promote()
    assert '"max_copied": 0.01' in registry.versions()[0].tags["gate_policy"]
    assert registry.promote(policy=GatePolicy(max_copied=0.1)).aliases == ("champion",)

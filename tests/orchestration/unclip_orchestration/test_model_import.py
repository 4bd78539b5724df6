"""The command `unclip model import`: what it registers, and what it says to a folder that it cannot take, with exit code 2."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip_orchestration.cli import main
from unclip_pairs.home import open_store
from unclip_release.registry import open_registry


def unclip(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> object:
    """The exit code of a command that runs in this process as the entry point runs it."""
    monkeypatch.setattr(sys, "argv", ["unclip", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


@pytest.fixture
def folder(open_weights: dict[str, tuple[Path, Any]], tmp_path: Path) -> Path:
    """A copy of Karlo's folder, to be spoiled."""
    return Path(shutil.copytree(open_weights["karlo"][0], tmp_path / "karlo"))


def test_a_home_without_a_dataset_registers_the_model_and_says_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--home", tmp_path / "home", "model", "import", folder, "--decoder-steps", "3")
    assert unclip(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert said.startswith("unclip/1 is a candidate (bundles/")
    assert "it may not become champion: evaluated: the evaluation lacks concept_hit_rate" in said
    assert unclip(monkeypatch, *words) == 0
    assert capsys.readouterr().out == said, "the same model keeps its version"
    (version,) = open_registry(open_store(tmp_path / "home")).versions()
    assert version.tags["licence"] == "creativeml-openrail-m"


def pickled(folder: Path) -> None:
    weights = folder / "prior" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


FAULTS: dict[str, Callable[[Path], object]] = {
    "has neither a bundle.json nor a model_index.json": lambda folder: (folder / "model_index.json").unlink(),
    "has its weights as a pickle only": pickled,
    "has no part super_res_first": lambda folder: shutil.rmtree(folder / "super_res_first"),
    "has no licence text": lambda folder: (folder / "LICENSE").unlink(),
    "LICENSE is empty": lambda folder: (folder / "LICENSE").write_text(""),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_folder_that_cannot_be_taken_is_one_sentence_and_exit_code_2(
    folder: Path, tmp_path: Path, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FAULTS[sentence](folder)
    assert unclip(monkeypatch, "--home", tmp_path / "home", "model", "import", folder) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = [line for line in said.err.splitlines() if line.startswith("unclip: ")]
    assert sentence in line

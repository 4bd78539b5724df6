"""Tests of the GPU run on a processor: its data file, its guard, its weights on their way, and the whole of it with tiny networks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from findings import CheckFailed, Findings
from pair_file import drawn, prepare, publish, read_pairs
from safetensors.torch import load_file, save_file
from weight_parts import LARGEST_FILE, join, split

from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


def test_a_version_becomes_a_file_and_again_a_version(tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    publish(drawn(), store, "v-shapes")
    store.write_json("datasets/v-shapes/prompts.json", {"format": 1, "sets": {"scenes": [{"prompt": "two red circles"}]}})
    prepare(store, "v-shapes", 10_000_000).save(tmp_path / "data.npz")
    found = read_pairs(tmp_path / "data.npz")
    assert {str(row["key"]): row["captions"] for row in found.rows} == {str(row["key"]): row["captions"] for row in drawn().rows}
    assert len(list(found.of("train"))) == 39 and found.prompts == {"scenes": ["two red circles"]}
    publish(found, open_store(tmp_path / "other"), "again")
    assert (tmp_path / "other/datasets/again/validation-00000.tar").exists()


def test_pictures_that_do_not_fit_are_refused_in_a_sentence(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    publish(drawn(), store, "v-shapes")
    with pytest.raises(UserError, match="48 pictures do not fit into 0 MB; raise --megabytes"):
        prepare(store, "v-shapes", 10_000)
    with pytest.raises(UserError, match="is no data file"):
        read_pairs(tmp_path / "none.npz")


def test_a_part_that_fails_is_written_down_and_the_next_one_runs(tmp_path: Path) -> None:
    findings = Findings(tmp_path, minutes=1.0)
    with findings.part("first"):
        raise CheckFailed("the average lies elsewhere")
    with findings.part("second"):
        raise ZeroDivisionError
    with findings.part("third"):
        findings.put("third", answer=42)
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["first"]["failed"] == "the average lies elsewhere" and written["third"]["answer"] == 42
    assert findings.failures() == ["first", "second"]


def test_weights_travel_in_small_files_and_come_back(tmp_path: Path) -> None:
    weights = {f"layer{i}": torch.randn(3_000_000) for i in range(3)} | {"stats.mean_D": torch.rand(7), "count": torch.tensor(3)}
    save_file(weights, tmp_path / "w.safetensors", metadata={"config": "{}"})
    (tmp_path / "tokenizer.json").write_text("{}")
    sizes = split(tmp_path, {"decoder": tmp_path / "w.safetensors"}, tmp_path / "tokenizer.json")
    assert len(sizes) == 2 and max(sizes) < LARGEST_FILE
    assert join(tmp_path, tmp_path / "bundle") == ["decoder"]
    found = load_file(tmp_path / "bundle/decoder.safetensors")
    assert torch.equal(found["layer1"], weights["layer1"].bfloat16()) and torch.equal(found["stats.mean_D"], weights["stats.mean_D"])
    assert found["count"] == 3 and (tmp_path / "bundle/tokenizer.json").read_text() == "{}"


@pytest.mark.slow
def test_the_whole_run_is_tried_on_drawn_shapes(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "run", "--dry-run", "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"figures.json", "curves.json", "curves.png", "contact_sheet.png", "weights-1.safetensors"} <= left and len(left) <= 8
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert {name for name, part in figures.items() if part.get("failed")} == set()
    assert {"check_seed", "check_resume", "paper_decoder", "small_decoder", "check_batch_and_alone"} <= set(figures)
    assert join(tmp_path / "out", tmp_path / "bundle") == ["clip", "decoder", "prior", "upsampler_1024", "upsampler_256"]

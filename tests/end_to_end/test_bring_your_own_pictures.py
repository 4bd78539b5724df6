"""Runs the commands of the guide `docs/bring-your-own-pictures.md`, in their order, as they stand there."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/bring-your-own-pictures.md"
COLOURS = {"red": (214, 40, 40), "blue": (30, 80, 200), "green": (40, 150, 60), "yellow": (240, 200, 40)}
PICTURES = 64


def draw(folder: Path) -> None:
    """Circles and squares, each on a ground of its own, with captions; the last is a copy of the first."""
    chance = np.random.default_rng(0)
    folder.mkdir()
    for number, (shape, colour) in zip(range(PICTURES), itertools.cycle(itertools.product(("circle", "square"), COLOURS)), strict=False):
        ground = Image.fromarray(chance.integers(150, 256, (6, 6, 3), dtype=np.uint8)).resize((160, 160), Image.Resampling.BICUBIC)
        left, top, side = (int(value) for value in chance.integers((5, 5, 60), (60, 60, 95)))
        pen, box = ImageDraw.Draw(ground), (left, top, left + side, top + side)
        (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
        ground.save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(f"drawing {number} of a {colour} {shape}")
    (folder / f"{PICTURES:03}.png").write_bytes((folder / "000.png").read_bytes())
    (folder / f"{PICTURES:03}.txt").write_text("a copy of the first drawing")


def blocks(kind: str) -> list[str]:
    """The code of that language in the guide."""
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE.read_text(), re.M | re.S)


def commands() -> list[str]:
    """What begins with `unclip` in the guide's shell code."""
    return re.findall(r"^unclip .*$", "".join(blocks("bash")), re.M)


@pytest.fixture
def shell_folder(tmp_path: Path) -> Path:
    """A folder with pictures, and `unclip` on its path."""
    draw(tmp_path / "pictures")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/unclip"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m unclip_orchestration.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def test_the_guide_goes_the_whole_way() -> None:
    named = [" ".join(line.split()[1:3]) for line in commands()]
    steps = ["data crawl", "data score", "data curate", "data verdicts", "model train", "dataset build", "data search"]
    assert list(dict.fromkeys(named)) == steps


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_guide_work_as_they_stand(shell_folder: Path) -> None:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("UNCLIP_", "MLFLOW_", "DAGSTER_"))}
    environment = known | {"PATH": f"{shell_folder / 'bin'}:{os.environ['PATH']}", "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONWARNINGS": ""}
    script = "set -euo pipefail\n" + "\n".join(blocks("bash"))
    ran = subprocess.run(["bash", "-c", script], cwd=shell_folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    assert "duplicate_exact" in ran.stdout, "the copy was not found"
    found = [line for line in ran.stdout.splitlines() if re.match(r"\d\.\d{3}  [0-9a-f]{20}  ", line)]
    assert len(found) == 20 and found[10].startswith("1.000"), "a picture finds itself first"
    with Image.open(shell_folder / "found.png") as sheet:
        assert sheet.width > 100
    (code,) = blocks("python")
    loaded = subprocess.run([sys.executable, "-c", code], cwd=shell_folder, env=environment, capture_output=True, text=True, check=False)
    assert loaded.stdout.split() == [str(PICTURES), "pairs"], loaded.stderr

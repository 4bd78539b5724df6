"""Kills the demo in the middle of every act, with no chance to say goodbye, and runs it again: what was finished stays untouched.

One home is carried through all acts: each start has to pick up what the kill before left, and the last one has to reach the end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from unclip_assets.reporting.timing import ASSETS_PER_STEP

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
TRAINED = 0.0  # killed as soon as the first step is told of
# in the order in which they run; seconds into the act at which the kill comes
KILLS = {
    "starter": 4.0,
    "crawl": 2.0,
    "score": 4.0,
    "decide": 0.1,
    "clip": TRAINED,
    "embed": 1.0,
    "dedupe": 0.2,
    "publish": 0.1,
    "decoder": TRAINED,
    "judge": TRAINED,
    "prior": TRAINED,
    "upsampler_1024": TRAINED,
    "upsampler_256": TRAINED,
    "bundle": 0.05,
    "evaluate": 5.0,
    "release": 0.5,
}


@dataclass
class Story:
    """The home that is carried through, and the manifests that were there when the last kill came."""

    home: Path
    port: str
    finished: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "unclip_orchestration.cli", "--home", str(self.home), "demo", "--size", "smoke", "--port", self.port]

    def manifests(self) -> dict[str, tuple[str, int]]:
        """Digest and time of writing of every manifest; whoever reads half a file here fails.

        A bundle's copies of its stages' manifests say where it comes from, not that it is finished: its own manifest does.
        """
        found = {}
        for path in self.home.rglob("*.json"):
            if path.name.startswith(".part-") or {"npm", "lineage"} & set(path.parts):
                continue
            content = json.loads(path.read_text())
            if isinstance(content, dict) and {"kind", "digest", "inputs"} <= set(content):
                found[str(path.relative_to(self.home))] = (content["digest"], path.stat().st_mtime_ns)
        return found

    def check_untouched(self) -> None:
        """Whatever was finished at the last kill is still the same file."""
        now = self.manifests()
        assert {name: now.get(name) for name in self.finished} == self.finished
        self.finished = now


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, find_port: Callable[[], int]) -> Story:
    return Story(tmp_path_factory.mktemp("faults") / "home", str(find_port()))


@contextmanager
def demo(story: Story) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own; whatever of it is left at the end is killed."""
    with subprocess.Popen(story.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def read_until(process: subprocess.Popen[str], act: str) -> list[str]:
    """The lines up to the one that says the act began; the output is read on, so that nothing blocks."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.split() == [act, "..."]:
            return lines
    raise AssertionError(f"the demo ended before {act} began:\n{''.join(lines)}")


def wait_for_the_middle(story: Story, act: str) -> None:
    """Until the act is well under way: a training when it tells of its first step, everything else after its seconds."""
    if KILLS[act] != TRAINED:
        time.sleep(KILLS[act])
        return
    deadline = time.monotonic() + 600
    while not any("unclip-progress" in log.read_text(errors="replace") for log in (story.home / "logs").glob(f"{act}-*.log")):
        assert time.monotonic() < deadline, f"the training of {act} tells of no step"
        time.sleep(0.05)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_kills_cover_every_act() -> None:
    assert set(KILLS) == set(ASSETS_PER_STEP)


@pytest.mark.parametrize("act", KILLS)
def test_a_kill_in_the_middle_of(act: str, story: Story) -> None:
    with demo(story) as process:
        read_until(process, act)
        wait_for_the_middle(story, act)
        family = psutil.Process(process.pid).children(recursive=True)
        if list(KILLS).index(act) % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            # only the parent: what it started has to notice by itself, or it would go on writing
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 15
        while not all(is_gone(child) for child in family) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [child.cmdline() for child in family if not is_gone(child)] == []
    story.check_untouched()


def test_the_demo_reaches_the_end_and_nothing_finished_was_done_again(story: Story) -> None:
    with demo(story) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    story.check_untouched()
    summary = json.loads((story.home / "demo" / "summary.json").read_text())
    assert summary["champion"]["alias"] == "champion"
    assert not (story.home / "crawl" / "starter" / "open").exists()

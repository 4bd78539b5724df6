"""Every command runs, on a small real home: a copy of the one that `unclip demo --size smoke` made, or an empty one.

`@runs` registers a test under the commands it runs and checks that it ran them; the last test holds the register against the tree.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow.parquet
import pytest
from PIL import Image
from typer.testing import CliRunner

from unclip_assets.bundle import STAGES
from unclip_assets.pointers import present
from unclip_labels.label_store import open_labels
from unclip_orchestration.cli import app
from unclip_orchestration.cli_reference import leaves, root
from unclip_pairs.home import open_store
from unclip_pairs.manifest import Manifest
from unclip_pairs.store import Store
from unclip_release.bundle import write_bundle
from unclip_release.registry import open_registry

ROOT = Path(__file__).parents[3]
PROCESS = [sys.executable, "-m", "unclip_orchestration.cli"]
LEAVES = {" ".join(leaf.words) for leaf in leaves(root())}


class SmokeHome(Protocol):
    """What the fixture `smoke_home` gives."""

    path: Path

    def again(self) -> list[str]: ...


@dataclass
class Home:
    """A home and the commands that ran in it."""

    path: Path
    ran: set[str] = field(default_factory=set)
    warc_record: Callable[..., bytes] = bytes
    draw_face: Callable[..., Image.Image] = Image.new

    def run(self, name: str, *words: str | Path, code: int = 0) -> str:
        """The output of the command `name`, which must end with the exit code; errors are told as the entry point tells them."""
        command = [*PROCESS, "--home", str(self.path), *name.split(), *map(str, words)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == code, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
        self.ran.add(name)
        return answer.stdout if code == 0 else answer.stderr

    def run_here(self, name: str, *words: str | Path) -> str:
        """The same in this process, which is quicker; it must succeed."""
        answer = CliRunner().invoke(app, ["--home", str(self.path), *name.split(), *map(str, words)])
        assert answer.exit_code == 0, answer.output + str(answer.exception)
        self.ran.add(name)
        return answer.stdout

    @contextmanager
    def served(self, name: str, *words: str) -> Iterator[str]:
        """The address that a server prints first; at the end it is stopped as Ctrl-C stops it."""
        # a shell that runs this suite in the background lets its children ignore Ctrl-C
        command = ["env", "--default-signal=INT", *PROCESS, "--home", str(self.path), *name.split(), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://127\.0\.0\.1:\d+\S*", process.stdout.readline())
                assert found is not None, f"{name} printed no address"
                yield found[0]
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                finally:
                    process.kill()
        self.ran.add(name)


Run = Callable[[Home], None]
REGISTER: dict[str, tuple[Run, tuple[str, ...]]] = {}
QUICK: list[str] = []


def runs(*names: str, quick: bool = False) -> Callable[[Run], Run]:
    """Registers a function that runs these commands: on an empty home when it is quick, else on a copy of the smoke home."""

    def register(run: Run) -> Run:
        REGISTER[run.__name__] = (run, names)
        QUICK.extend([run.__name__] if quick else [])
        return run

    return register


@runs("keys create", "keys list", "keys revoke", quick=True)
def keys(home: Home) -> None:
    key = home.run_here("keys create", "ada").strip()
    listed = home.run_here("keys list")
    assert "ada" in listed and key not in listed
    assert "ada" in home.run_here("keys revoke", "ada")
    assert "revoked" in home.run_here("keys list")


@runs("faces enrol", "faces list", "faces remove", quick=True)
def faces(home: Home) -> None:
    home.draw_face().save(home.path.parent / "face.png")
    home.run_here("faces enrol", "somebody", home.path.parent / "face.png", "--key-file", home.path.parent / "key")
    assert "somebody" in home.run_here("faces list")
    home.run_here("faces remove", "somebody")
    assert home.run_here("faces list") == ""


@runs("leaks add", "leaks list", quick=True)
def evaluation_sets(home: Home) -> None:
    (home.path.parent / "pictures").mkdir()
    Image.linear_gradient("L").save(home.path.parent / "pictures/one.png")
    assert "ours: 1 pictures" in home.run_here("leaks add", "ours", "--folder", home.path.parent / "pictures")
    assert "1  ours" in home.run_here("leaks list")


@runs("data extract", quick=True)
def archives(home: Home) -> None:
    page = b'<html lang="en"><img src="ball.png" alt="a red ball on green grass"></html>'
    (home.path.parent / "pages.warc").write_bytes(home.warc_record("http://pages.test/one.html", page))
    listed = home.path.parent / "pairs.parquet"
    assert f"1 pairs in {listed}" in home.run_here("data extract", home.path.parent / "pages.warc", "-o", listed)
    assert pyarrow.parquet.read_table(listed)["url"].to_pylist() == ["http://pages.test/ball.png"]


@runs("data crawl", "data score", quick=True)
def folder_of_pictures(home: Home) -> None:
    folder = home.path.parent / "drawings"
    folder.mkdir()
    Image.radial_gradient("L").save(folder / "one.png")
    (folder / "one.txt").write_text("a drawing of light in the dark")
    home.run("data crawl", "--batch", "mine", "--contact", "me@example.org", "--folder", folder)
    rows = pyarrow.parquet.read_table(home.path / "crawl/mine/rows.parquet", columns=["status", "caption"]).to_pylist()
    assert rows == [{"status": "ok", "caption": "a drawing of light in the dark"}]
    assert home.run_here("data score", "caption") == "mine: caption has 1 rows\n"


@runs("starter build", "starter serve", "demo")
def story(home: Home) -> None:
    """First of those on the smoke home: it wants the home as the demo left it."""
    port = str(json.loads((home.path / "sources/starter.json").read_text())["seeds"][0].rsplit(":", 1)[1].strip("/"))
    home.run("starter build", "--size", "smoke")
    with home.served("starter serve", "--port", "0") as address, urllib.request.urlopen(address, timeout=30) as page:
        assert b"<a href" in page.read()
    assert "champion" in home.run("demo", "--size", "smoke", "--port", port)


@runs("label define", "label next", "label import", "label export", "label train", "label score", "label report", "serve labels")
def category(home: Home) -> None:
    assert "weapons" in home.run_here("label define", ROOT / "docs/specifications/weapons.md")
    assert "`unclip serve labels`" in home.run_here("label next", "weapons", "--count", "40")
    asked = [item.key for item in open_labels(open_store(home.path)).items("weapons")]
    seeds = home.path.parent / "known.jsonl"
    seeds.write_text("".join(json.dumps({"key": key, "label": ("yes", "no")[int(key, 16) % 2]}) + "\n" for key in asked))
    assert f"{len(asked)} pictures labelled" in home.run_here("label import", "weapons", seeds)
    assert len(home.run_here("label export", "weapons").splitlines()) == len(asked)
    assert "in a policy: probes: {weapons:" in home.run("label train", "weapons", "--recall", "0.5")
    assert home.run_here("label score").endswith("scores\n")
    assert "Does the picture show a weapon?" in home.run_here("label report", "weapons")
    remembering = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # the link leads on to a page that asks for its cookie
    with home.served("serve labels", "--port", "0") as address, remembering.open(address, timeout=30) as page:
        assert b"weapon" in page.read()


@runs("data verdicts", "policy diff", "policy sweep", "data duplicates", "dataset reweight")
def decisions(home: Home) -> None:
    assert "kept" in home.run_here("data verdicts")
    assert re.search(r"^kept: (\d+) before, \1 after$", home.run_here("policy diff", "default", "default"), re.M)
    assert len(home.run_here("policy sweep", "min_side", "32", "128", "--steps", "3").splitlines()) == 5
    assert re.match(r"\d+ groups; \d+ pairs go\n", home.run_here("data duplicates", "--groups", "2"))
    assert "pairs are weighed and count as" in home.run_here("dataset reweight")
    made = {path.name for path in (home.path / "reports").iterdir()}
    assert {"policy-sweep-min_side.html", "duplicates.html", "reweighting.html"} <= made


@runs("data curate", "data embed", "dataset build", "dataset list", "dataset push", "leaks compare", "leaks check")
def datasets(home: Home) -> None:
    (clip,) = (home.path / "models/clip").iterdir()
    assert "rows in" not in home.run("data embed", "--clip", clip)
    assert "kept" in home.run("data curate", "--clip", clip)
    version = home.run("dataset build").split(":")[0]
    assert version in home.run_here("dataset list")
    home.run_here("dataset push", version, "--to", home.path.parent / "copy")
    assert home.run_here("dataset list", "--at", home.path.parent / "copy").startswith(version)
    home.run_here("leaks add", "held", "--dataset", version, "--split", "held_out")
    assert "near pairs of a crawled and an evaluation picture" in home.run_here("leaks compare")
    assert f"nothing leaks into {version}" in home.run_here("leaks check", version)


@runs("data search", "serve search", "data takedown")
def search(home: Home) -> None:
    found = [json.loads(line) for line in home.run("data search", "a red apple", "-n", "3", "--json").splitlines()]
    assert len(found) == 3
    with home.served("serve search", "--port", "0") as address, urllib.request.urlopen(address, timeout=60) as page:
        assert b"<form" in page.read()
    assert "gone from search" in home.run("data takedown", "--key", found[0]["key"], "--reason", "asked")
    assert found[0]["key"] in home.run_here("data takedown", "--list")


@runs("model train", "model evaluate", "model release", "model promote", "model rollback", "model lineage")
def models(home: Home) -> None:
    home.run("model train", "clip_tiny", "--run", "again", "--steps", "2")
    assert json.loads((home.path / "models/clip/again/manifest.json").read_text())["kind"]
    assert "concept_hit_rate" in home.run("model evaluate", "--num-prompts", "12", "--num-composed", "6", "--num-diverse", "3")
    gates = home.path.parent / "gates.yaml"
    gates.write_text("tolerance: 0.2\n")
    home.run("model release", "--num-prompts", "12", "--num-composed", "6", "--num-diverse", "3", "--gates", gates)
    registry = open_registry(open_store(home.path))
    (first,) = registry.versions()
    assert "champion" in first.aliases and '"tolerance": 0.2' in first.tags["gate_policy"]
    assert "no previous champion" in home.run("model rollback", code=2)
    registry.register(other_bundle(registry.store), first.evaluation)
    assert "unclip/2 is champion" in home.run("model promote", "candidate", "--gates", gates)
    assert "unclip/1 is champion again" in home.run("model rollback")
    assert "unclip/1" in home.run("model lineage", "champion")


def other_bundle(store: Store) -> Manifest:
    """The present stages with another guidance scale, which is another bundle."""
    runs = {stage: f"models/{run}/{present(store, f'{run}_model').name}" for stage, run in STAGES.items()}
    return write_bundle(store, runs, guidance={"decoder": 3.0})


@runs("model import", quick=True)
def import_(home: Home) -> None:
    # with a whole model it runs in test_model_import.py
    (home.path.parent / "nothing").mkdir()
    assert "has neither a bundle.json nor a model_index.json" in home.run("model import", home.path.parent / "nothing", code=2)


@runs("generate", "variations", "serve api")
def pictures(home: Home) -> None:
    out = home.path.parent / "out"
    assert home.run("generate", "a red apple", "--seed", "7", "-o", out).strip() == str(out / "7.png")
    home.run("variations", out / "7.png", "--seed", "8", "-o", out)
    with Image.open(out / "8.png") as picture:
        assert picture.size == (256, 256)
    with home.served("serve api", "--port", "0") as address, urllib.request.urlopen(address.replace("/v1", "/healthz"), timeout=60) as page:
        assert page.status == 200


@pytest.fixture(scope="module")
def smoke_copy(smoke_home: SmokeHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the smoke home, which the tests of this file may change."""
    return Path(shutil.copytree(smoke_home.path, tmp_path_factory.mktemp("commands") / "home"))


def check(name: str, home: Home) -> None:
    run, names = REGISTER[name]
    run(home)
    assert set(names) <= home.ran, "the test is registered under a command that it does not run"


@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str, tmp_path: Path, warc_record: Callable[..., bytes], draw_face: Callable[..., Image.Image]) -> None:
    check(name, Home(tmp_path / "home", warc_record=warc_record, draw_face=draw_face))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", [name for name in REGISTER if name not in QUICK])
def test_on_the_smoke_home(name: str, smoke_copy: Path) -> None:
    check(name, Home(smoke_copy))


def test_every_command_runs_in_a_test() -> None:
    assert {name for _, names in REGISTER.values() for name in names} == LEAVES

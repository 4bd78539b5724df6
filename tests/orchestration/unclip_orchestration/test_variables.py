"""Tests that each documented variable is read at each command that names it, and that one safety policy holds for all."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

from unclip_assets.settings import read_environment
from unclip_orchestration.cli import app
from unclip_orchestration.cli_reference import VARIABLES, leaves, root
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_safety import policy
from unclip_safety.prompts import refuser
from unclip_server.api.access import open_access
from unclip_server.api.app import create_app
from unclip_server.api.images import Dependencies
from unclip_server.api.results import Results
from unclip_server.api.settings import read_settings
from unclip_server.service import ImageService, Painter, ServedModel

ROOT = Path(__file__).parents[3]
GENERATE, VARIATIONS, API = ("generate", "a ball"), ("variations", "PICTURE"), ("serve", "api", "--port", "0")
PROMOTE, EVALUATE, RELEASE, IMPORT = ("model", "promote"), ("model", "evaluate"), ("model", "release"), ("model", "import", "FOLDER")
REGISTRY = (PROMOTE, ("model", "rollback"), ("model", "lineage", "champion"))
GENERATING = (GENERATE, VARIATIONS, API)
JOBS = (("demo", "--size", "smoke", "--port", "28741"), RELEASE)
SCORING = (("data", "score", "caption"), ("data", "embed", "--clip", "models/clip/a"), ("data", "curate"))
SWEEP = ("policy", "sweep", "min_side", "1", "2")
DECIDING = (("data", "curate"), ("data", "duplicates"), SWEEP, ("dataset", "build"), ("leaks", "check", "v"))
NOWHERE, CLOSED = "/nowhere/policy.yaml", "http://127.0.0.1:9"
Case = tuple[str, str, tuple[str, ...], str]
CASES: list[Case] = [
    *(("UNCLIP_SAFETY_POLICY", NOWHERE, command, NOWHERE) for command in (*GENERATING, EVALUATE, *JOBS)),
    *(("UNCLIP_CURATION_POLICY", NOWHERE, command, NOWHERE) for command in (*GENERATING, EVALUATE, *JOBS, *DECIDING)),
    *(("UNCLIP_GATE_POLICY", NOWHERE, command, NOWHERE) for command in (PROMOTE, IMPORT, *JOBS)),
    *(("MLFLOW_TRACKING_URI", CLOSED, command, CLOSED) for command in (*GENERATING, *REGISTRY)),
    *(
        ("UNCLIP_HOME", "FILE/home", command, "FILE")
        for command in (*GENERATING, EVALUATE, *JOBS, *REGISTRY, *SCORING, *DECIDING, ("keys", "list"), ("data", "verdicts"))
    ),
    *(("UNCLIP_ENGINE", "ray", (*command, "--ray-address", "nowhere"), "nowhere") for command in SCORING),
    *(("UNCLIP_RAY_ADDRESS", "nowhere", (*command, "--engine", "ray"), "nowhere") for command in SCORING),
    ("UNCLIP_HOST", "192.0.2.1", API, "192.0.2.1"),
    ("UNCLIP_PORT", "http", ("serve", "api"), "UNCLIP_PORT"),
    ("UNCLIP_IMAGES_PER_MINUTE", "0", API, "UNCLIP_IMAGES_PER_MINUTE"),
    ("UNCLIP_MAX_WAITING", "0", API, "UNCLIP_MAX_WAITING"),
    ("UNCLIP_MAX_BATCH", "0", API, "UNCLIP_MAX_BATCH"),
    ("UNCLIP_PUBLIC_URL", "pictures.test", API, "UNCLIP_PUBLIC_URL"),
    *((name, "odd", ("keys", "list"), name) for name in ("UNCLIP_ENV", "UNCLIP_SIZE", "UNCLIP_ENGINE")),
]
LEAVES = list(leaves(root()))


@pytest.mark.parametrize(("name", "value", "command", "part"), CASES, ids=[f"{case[0]} {' '.join(case[2])}" for case in CASES])
def test_a_variable_is_read_at_each_command_that_names_it(
    tmp_path: Path, name: str, value: str, command: tuple[str, ...], part: str
) -> None:
    file, picture = tmp_path / "file", tmp_path / "picture.png"
    file.write_text("in the way")
    Image.new("RGB", (8, 8)).save(picture)
    words = [str(picture) if word == "PICTURE" else word for word in command]
    environment = {"UNCLIP_HOME": str(tmp_path / "home")} | {name: value.replace("FILE", str(file))}
    error = CliRunner().invoke(app, words, env=environment).exception
    assert isinstance(error, UserError | OSError), error
    assert part.replace("FILE", str(file)) in str(error)


def test_every_command_reads_the_environment() -> None:
    for leaf in LEAVES:
        error = CliRunner().invoke(app, list(leaf.words), env={"UNCLIP_ENV": "odd"}).exception
        assert isinstance(error, UserError) and "UNCLIP_ENV" in str(error), leaf.name


def test_every_command_that_names_a_variable_is_tried_with_it() -> None:
    named, tried = set[tuple[str, str]](), set[tuple[str, str]]()
    for leaf in LEAVES:
        text = " ".join([leaf.help, *(str(getattr(parameter, "help", "")) for parameter in leaf.command.params)])
        named |= {(name, leaf.name) for name in re.findall(r"\$([A-Z_]+)", text)}
        tried |= {(name, leaf.name) for name, _, words, _ in CASES if words[: len(leaf.words)] == leaf.words}
    assert named - tried == set()


def test_every_documented_variable_is_tried() -> None:
    pages = [(ROOT / shelf / "README.md").read_text() for shelf in ("deploy", "orchestration")]
    rows = [line.split("|")[1] for page in pages for line in page.splitlines() if re.match(r"\| `(UNCLIP|MLFLOW)_", line)]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert documented == {case[0] for case in CASES} == set(VARIABLES)


def test_links_to_pictures_begin_with_the_public_address(tmp_path: Path) -> None:
    answer = asyncio.run(asked({"UNCLIP_HOME": str(tmp_path / "home"), "UNCLIP_PUBLIC_URL": "https://p.test"}, "a ball"))
    assert answer.json()["data"][0]["url"].startswith("https://p.test/v1/results/")


def test_one_policy_refuses_a_word_at_the_command_line_and_at_the_server(tmp_path: Path) -> None:
    text = Path(policy.__file__).with_name("policy.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(re.sub(r"^(  hate:\n(?:.*\n)*?    phrases:)(?: \[\])?\n", r"\1\n      - zebra\n", text, count=1, flags=re.M))
    home = tmp_path / "home"
    variables = {"UNCLIP_HOME": str(home), "UNCLIP_SAFETY_POLICY": str(mine)}
    error = CliRunner().invoke(app, ["generate", "a zebra"], env=variables).exception
    assert isinstance(error, UserError), error
    answer = asyncio.run(asked(variables, "a zebra"))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"] == str(error) == policy.load_policy(mine).prompt_message
    assert refuser(policy.load_policy())("a zebra") is None


async def asked(variables: dict[str, str], prompt: str) -> httpx.Response:
    """The server's answer, by the policy that its settings name."""
    environment = read_environment(variables)
    settings = read_settings(home=environment.home, policies=environment.policies, variables=variables)
    store = open_store(settings.home)
    access = open_access(store)
    service = ImageService(
        model=ServedModel(label="unclip/1", manifest="ab"),
        painter=Painter(
            paint=lambda prompts, seeds, size, guidance: [Image.new("RGB", (size, size)) for _ in prompts],
            vary=lambda images, seeds, size: [],
        ),
        refuse=refuser(policy.load_policy(settings.policies.safety)),
        check=lambda image: None,
    )
    made = create_app(Dependencies(service=service, access=access, results=Results(store, b"secret"), settings=settings))
    transport = httpx.ASGITransport(app=made)
    async with made.router.lifespan_context(made), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"authorization": f"Bearer {access.create('tester')}"}
        answer = await client.post("/v1/images/generations", json={"prompt": prompt}, headers=headers)
    access.close()
    return answer

"""The whole shelf at once: tiny real networks in a bundle, released, served in a process of its own, asked by the `openai` client."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest
import torch
from PIL import Image

from unclip_diffusion.config import Diffusion
from unclip_models import checkpoint
from unclip_models.build import build
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    NetworkConfig,
    PictureRegressorConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
)
from unclip_models.text import Tokenizer
from unclip_pairs.errors import UserError
from unclip_pairs.images import encode_png
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import file_digest, make_manifest, write_manifest
from unclip_pairs.store import Store
from unclip_release.bundle import STAGES, write_bundle
from unclip_release.lineage import full_text, trace
from unclip_release.registry import open_registry
from unclip_server.api.access import open_access
from unclip_server.api.serve import serve
from unclip_server.api.settings import Settings
from unclip_server.service import PictureRequest, ServiceSettings, open_service, read_source

pytestmark = pytest.mark.slow

Figures = dict[str, JsonValue]
TOWER = TowerConfig(width=32, depth=1, heads=2)
UNET = UNetConfig(side=8, channels=16, multipliers=(1, 2), num_blocks=1, attention_sides=(4,), head_channels=16, num_groups=8)
REGRESSOR = PictureRegressorConfig(width=16, depth=1, components=8)
SAMPLING = Diffusion(schedule="cosine", prediction="x0", sampler="ddim", steps=(2,))


def networks(vocab_size: int) -> dict[str, NetworkConfig]:
    """16 px, then 32, then 64."""
    convolutions = replace(UNET, attention_sides=())
    return {
        "clip": ClipConfig(image_size=16, patch_size=8, vision=TOWER, text=TOWER, vocab_size=vocab_size, context=8, embed_dim=16),
        "prior": PriorConfig(embed_dim=16, text_width=32, context=8, tower=TOWER),
        "decoder": CompactDecoderConfig(image_size=16, patch=2, unet=UNET, embed_dim=16, map_side=4, text_width=32, regressor=REGRESSOR),
        "upsampler_1": CompactUpsamplerConfig(low_size=16, image_size=32, patch=4, unet=convolutions),
        "upsampler_2": CompactUpsamplerConfig(low_size=32, image_size=64, patch=8, unet=convolutions),
    }


@pytest.fixture
def champion(registered_store: Store, good_figures: Figures) -> Store:
    """A store whose registry has a champion with real, untrained networks."""
    store, inputs = registered_store, {"dataset": "d" * 64}
    torch.manual_seed(0)
    store.path("models/clip/first").mkdir(parents=True)
    tokenizer = Tokenizer.train(["a red ball", "a blue apple"], vocab_size=300, context=8)
    tokenizer.save(store.path("models/clip/first/tokenizer.json"))
    for stage, config in networks(tokenizer.vocab_size).items():
        with store.writing(f"models/{stage}/first/weights.safetensors") as part:
            checkpoint.save(part, build(config), config, {"diffusion": SAMPLING.to_json()})
        made = make_manifest(store, "model", [f"models/{stage}/first/weights.safetensors"], inputs=inputs)
        write_manifest(store, f"models/{stage}/first/manifest.json", made)
        if stage == "clip":
            inputs |= {"clip": file_digest(store.path("models/clip/first/weights.safetensors"))}
    registry = open_registry(store)
    registry.register(write_bundle(store, {stage: f"models/{stage}/first" for stage in STAGES}), good_figures)
    registry.promote()
    return store


@pytest.fixture
def url(champion: Store) -> Iterator[str]:
    """The address of `serve` in a process of its own."""
    script = (
        "import sys; from pathlib import Path; from unclip_server.api.serve import serve; from unclip_server.api.settings import Settings\n"
    )
    script += "serve(Settings(home=Path(sys.argv[1]), port=0), say=lambda text: print(text, flush=True))"
    command = [sys.executable, "-c", script, str(champion.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith("unclip/1 is served at http://127.0.0.1:"), told
        yield told.split(" at ")[1].split(" ")[0]
        process.terminate()


def test_the_champion_paints_over_http_and_its_pictures_are_walked_back(champion: Store, url: str, tmp_path: Path) -> None:
    access = open_access(champion)
    with openai.OpenAI(base_url=url, api_key=access.create("tester"), max_retries=0, timeout=120) as client:

        def painted(seed: int) -> list[bytes]:
            answer = client.images.generate(
                prompt="a red ball", n=2, size="256x256", response_format="b64_json", extra_body={"seed": seed, "guidance": 1.5}
            )
            return [base64.b64decode(found.b64_json or "") for found in answer.data or []]

        first = painted(7)
        assert painted(7) == first
        assert painted(8)[0] != first[0]
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(prompt="a nude woman")
        assert caught.value.code == "content_policy_violation"
    access.close()
    (tmp_path / "picture.png").write_bytes(first[0])
    text = full_text(trace(champion, open_registry(champion), str(tmp_path / "picture.png")))
    assert "seed 7" in text
    assert "model version: unclip/1" in text
    assert "models/decoder/first/manifest.json" in text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the newest client, of OpenAI's own route
def test_the_champion_varies_an_upload_over_http_as_the_image_service_does(champion: Store, url: str) -> None:
    access, upload = open_access(champion), encode_png(Image.effect_noise((48, 32), 60).convert("RGB"))
    with openai.OpenAI(base_url=url, api_key=access.create("tester"), max_retries=0, timeout=120) as client:
        answer = client.images.create_variation(image=upload, n=2, size="256x256", response_format="b64_json", extra_body={"seed": 7})
    access.close()
    pictures = [base64.b64decode(found.b64_json or "") for found in answer.data or []]
    service = open_service(ServiceSettings(store=champion))
    assert pictures == service.generate(PictureRequest(source=read_source(upload), seeds=(7, 8)))
    assert pictures[0] != pictures[1]


def test_a_corrupted_champion_is_a_sentence(champion: Store) -> None:
    (found,) = champion.path("bundles").iterdir()
    (found / "decoder.safetensors").write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"decoder\.safetensors is missing or damaged"):
        serve(Settings(home=champion.root, port=0), say=lambda text: None)

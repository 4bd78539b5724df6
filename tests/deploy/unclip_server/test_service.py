"""Tests of the image service: what importing it costs, and what it refuses before it loads anything."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError, encode_png
from unclip_pairs.store import Store
from unclip_release.provenance import read_provenance
from unclip_safety.policy import Refusal, load_policy
from unclip_safety.prompts import refuser
from unclip_server.service import (
    ImageService,
    Painter,
    PictureRequest,
    PolicyRefused,
    ServedModel,
    ServiceSettings,
    Source,
    open_service,
    read_source,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)


def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
    return [Image.new("RGB", (size, size), RED if "red" in prompt else BLUE) for prompt in prompts]


def vary(images: Sequence[Image.Image], seeds: Sequence[int], size: int) -> list[Image.Image]:
    return [image.resize((size, size)) for image in images]


def check(image: Image.Image) -> Refusal | None:
    """Blue pictures may not leave."""
    return Refusal("shocking", "no blue") if image.convert("RGB").getpixel((0, 0)) == BLUE else None


@pytest.fixture
def service() -> ImageService:
    model = ServedModel(label="unclip/1", manifest="ab")
    return ImageService(model=model, painter=Painter(paint=paint, vary=vary), refuse=refuser(load_policy()), check=check)


def test_each_seed_gives_a_png_that_knows_where_it_comes_from(service: ImageService, tmp_path: Path) -> None:
    heard = list[str]()
    request = PictureRequest(prompt="a red ball", seeds=(3, 4))
    pngs = service.generate(request, lambda done, total, message="": heard.append(message))
    for seed, png in zip((3, 4), pngs, strict=True):
        (tmp_path / "picture.png").write_bytes(png)
        assert read_provenance(tmp_path / "picture.png")["seed"] == str(seed)
    assert heard == ["checking the pictures"]


def test_prompts_sources_and_pictures_are_refused_by_the_policy(service: ImageService) -> None:
    for request in (
        PictureRequest(prompt="a nude woman", seeds=(1,)),
        PictureRequest(prompt="a ball", seeds=(1,)),
        PictureRequest(source=Source(Image.new("RGB", (8, 8), BLUE), "ab"), seeds=(1,)),
    ):
        with pytest.raises(PolicyRefused):
            service.generate(request)


def test_a_variation_names_the_file_that_it_comes_from(service: ImageService, tmp_path: Path) -> None:
    picture = encode_png(Image.new("RGB", (8, 8), RED))
    pngs = service.generate(PictureRequest(source=read_source(picture), seeds=(1, 2)))
    assert len(pngs) == 2
    (tmp_path / "picture.png").write_bytes(pngs[0])
    said = read_provenance(tmp_path / "picture.png")
    assert (said["source_sha256"], said.get("prompt_sha256")) == (hashlib.sha256(picture).hexdigest(), None)


def test_requests_of_one_kind_are_painted_in_one_call_and_in_order(service: ImageService) -> None:
    def colours(*requests: PictureRequest) -> list[object]:
        assert len({request.kind for request in requests}) == 1
        return [image.getpixel((0, 0)) for image in service.paint(requests)]

    red, blue = (Source(Image.new("RGB", (8, 8), colour), "ab") for colour in (RED, BLUE))
    assert colours(PictureRequest(source=red, seeds=(1,)), PictureRequest(source=blue, seeds=(1, 2))) == [RED, BLUE, BLUE]
    assert colours(PictureRequest(prompt="a red ball", seeds=(1, 2)), PictureRequest(prompt="a ball", seeds=(3,))) == [RED, RED, BLUE]
    assert PictureRequest(source=red, seeds=(1,)).kind != PictureRequest(prompt="a red ball", seeds=(1,)).kind


def test_a_large_source_is_made_smaller_and_a_narrow_one_stays_narrow() -> None:
    for size, smaller in (((2048, 512), (1024, 256)), ((30_000, 1), (1024, 1)), ((40, 30), (40, 30))):
        assert read_source(encode_png(Image.new("RGB", size))).image.size == smaller


def test_a_source_that_is_no_picture_is_not_read() -> None:
    with pytest.raises(DecodeError, match="neither PNG"):
        read_source(b"no picture")


def test_a_size_that_no_stage_paints_is_a_sentence() -> None:
    with pytest.raises(UserError, match="size is 300; choose one of 256, 512, 1024"):
        PictureRequest(prompt="a ball", seeds=(1,), size=300)


def test_a_refused_prompt_is_answered_before_the_registry_is_opened(store: Store) -> None:
    with pytest.raises(PolicyRefused):
        open_service(ServiceSettings(store=store), first=PictureRequest(prompt="a nude woman", seeds=(1,)))
    assert store.names("mlflow/") == []


def test_the_generator_is_imported_without_what_only_training_needs() -> None:
    unwanted = (
        "open_clip",
        "torchvision",
        "timm",
        "transformers",
        "wandb",
        "lightning",
        "mlflow",
        "sklearn",
        "fastapi",
        "dagster",
        "scrapy",
    )
    script = f"import sys, unclip_generation.pipeline, unclip_server.service; print([m for m in {unwanted!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

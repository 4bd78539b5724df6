"""An imported model as the champion: asked over the Images API and by the image service, its pictures name its version."""

import base64
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from images_server import ask, serving
from unclip_pairs.images import encode_png
from unclip_pairs.json_value import JsonValue
from unclip_pairs.store import Store
from unclip_release.imported import ImportRequest, import_model
from unclip_release.provenance import read_provenance
from unclip_release.registry import open_registry
from unclip_safety.policy import load_policy
from unclip_safety.prompts import refuser
from unclip_server.service import ImageService, PictureRequest, load_painter, read_source, served_model


@pytest.fixture
def service(open_weights: dict[str, tuple[Path, Any]], registered_store: Store, good_figures: dict[str, JsonValue]) -> ImageService:
    """Karlo with what reads pictures, promoted; the output check lets everything through."""
    folders = {"folder": open_weights["karlo"][0], "variations": open_weights["varied"][0]}
    registry = open_registry(registered_store)
    registry.register(import_model(registered_store, ImportRequest(**folders, prior_steps=2, decoder_steps=2)), good_figures)
    registry.promote()
    version, folder = registry.champion()
    return ImageService(model=served_model(version), painter=load_painter(folder), refuse=refuser(load_policy()), check=lambda image: None)


def test_it_paints_over_the_images_api(service: ImageService, registered_store: Store, tmp_path: Path) -> None:
    asked = {"prompt": "a red apple", "n": 2, "size": "256x256", "response_format": "b64_json", "seed": 7}
    with serving(registered_store.root, service) as served:
        first, again = (ask(served, asked)[2]["data"] for _ in range(2))
    assert first == again and first[0] != first[1]
    (tmp_path / "picture.png").write_bytes(base64.b64decode(first[0]["b64_json"]))
    said = read_provenance(tmp_path / "picture.png")
    assert (said["model"], said["manifest"], said["seed"]) == ("unclip/1", service.model.manifest, "7")


def test_without_what_reads_pictures_it_is_known_that_it_cannot_vary(
    open_weights: dict[str, tuple[Path, Any]], registered_store: Store, good_figures: dict[str, JsonValue]
) -> None:
    registry = open_registry(registered_store)
    request = ImportRequest(folder=open_weights["karlo"][0], prior_steps=2, decoder_steps=2)
    registry.register(import_model(registered_store, request), good_figures)
    registry.promote()
    assert not load_painter(registry.champion()[1]).can_vary


def test_it_varies_a_picture(service: ImageService, tmp_path: Path) -> None:
    picture = encode_png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)))
    request = PictureRequest(source=read_source(picture), seeds=(7, 8))
    assert service.painter.can_vary
    first, second = service.generate(request)
    assert first != second
    assert service.generate(replace(request, seeds=(7,)))[0] != second
    (tmp_path / "picture.png").write_bytes(first)
    said = read_provenance(tmp_path / "picture.png")
    assert (said["model"], said["source_sha256"]) == ("unclip/1", hashlib.sha256(picture).hexdigest())

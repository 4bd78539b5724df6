"""Tests of local generation: how a file becomes a request for variations."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from unclip_orchestration.local_generation import variation_request
from unclip_pairs.errors import UserError


def test_a_file_is_asked_for_by_its_digest_and_not_by_its_name(tmp_path: Path) -> None:
    picture = tmp_path / "a shooting.png"
    Image.new("RGB", (30, 40)).save(picture)
    request = variation_request(picture, range(7, 9), 512)
    assert (request.prompt, request.seeds, request.size) == (None, (7, 8), 512)
    assert request.source is not None
    assert (request.source.image.size, request.source.sha256) == ((30, 40), hashlib.sha256(picture.read_bytes()).hexdigest())


def test_a_file_that_is_no_picture_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.png cannot be used .*; give a PNG, JPEG, WebP or GIF picture"):
        variation_request(tmp_path / "a.png", [1], 256)
    with pytest.raises(UserError, match="cannot be read"):
        variation_request(tmp_path / "b.png", [1], 256)

"""Tests of the embedder over open_clip: the answers of open_clip's own calls, by shorter ways."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from unclip_models import towers
from unclip_pairs.errors import UserError
from unclip_training.open_clip_embedder import OpenClipEmbedder, open_embedder
from unclip_training.precision import bf16_is_fast, named

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}
CAPTIONS = ["a red ball", "a much longer caption about a blue square beside two green triangles", "a red ball", ""]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny-for-tests`, a network that open_clip knows by now."""
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "tiny-for-tests.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-for-tests.json")
    torch.manual_seed(0)
    network = open_clip.create_model("tiny-for-tests")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, str(folder / "weights.safetensors"))
    return folder / "weights.safetensors"


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3)).astype(np.uint8))


def test_embeddings_are_those_of_open_clip(weights: Path) -> None:
    import open_clip

    embedder = OpenClipEmbedder("tiny-for-tests", weights, "float32")
    network, _, transforms = open_clip.create_model_and_transforms("tiny-for-tests", pretrained=str(weights))
    network.eval()
    preprocess = cast("Callable[[Image.Image], Tensor]", transforms)
    images = [noise(256, 180), noise(100, 256), noise(64, 64)]
    with torch.no_grad():
        pictures = network.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True)
        captions = network.encode_text(open_clip.get_tokenizer("tiny-for-tests")(CAPTIONS), normalize=True)
    assert embedder.dim == 24
    np.testing.assert_allclose(embedder.pictures(np.stack([embedder.prepare(image) for image in images])), pictures, atol=1e-5)
    np.testing.assert_allclose(embedder.captions(CAPTIONS), captions, atol=1e-5)


def test_bf16_is_close_to_float32_and_has_a_digest_of_its_own(weights: Path) -> None:
    exact, quick, auto = (OpenClipEmbedder("tiny-for-tests", weights, precision) for precision in ("float32", "bf16", "auto"))
    pictures = np.stack([exact.prepare(noise(256, 180)), exact.prepare(noise(100, 256))])
    for a, b in ((exact.pictures(pictures), quick.pictures(pictures)), (exact.captions(CAPTIONS), quick.captions(CAPTIONS))):
        assert b.dtype == np.float32 and not np.array_equal(a, b)
        assert (a * b).sum(axis=1).min() > 0.999 and np.linalg.norm(b, axis=1) == pytest.approx(1, abs=1e-5)
    assert exact.digest != quick.digest and auto.digest == (quick if bf16_is_fast() else exact).digest
    with pytest.raises(UserError, match="the precision 'fp8' does not exist; choose one of auto"):
        named("fp8")


def test_the_short_way_is_taken_and_an_unknown_build_goes_its_own(weights: Path) -> None:
    import open_clip

    network = cast(Any, open_clip.create_model("tiny-for-tests").eval())  # its towers' fields have no types
    assert towers.is_plain_vision(network.visual) and towers.is_plain_text(network)
    network.visual.pool_type = "avg"
    assert not towers.is_plain_vision(network.visual)
    pixels = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(towers.encode_image(network, pixels), network.encode_image(pixels))


def test_a_name_is_clip_retrievals_and_mistakes_are_told_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    embedder = open_embedder(f"open_clip:tiny-for-tests/{weights}")
    assert isinstance(embedder, OpenClipEmbedder) and len(embedder.digest) == 64
    with pytest.raises(UserError, match="no network 'ViT-Z'"):
        open_embedder("open_clip:ViT-Z/weights.pt")
    with pytest.raises(UserError, match="does not exist; give open_clip:ViT-B-32/PATH"):
        open_embedder("open_clip:ViT-B-32/laion2b_s34b_b79k")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="does not fit open_clip's tiny-for-tests"):
        open_embedder(f"open_clip:tiny-for-tests/{tmp_path}/broken.safetensors")
    with pytest.raises(UserError, match=r"holds no weights\.safetensors"):
        open_embedder(str(tmp_path))

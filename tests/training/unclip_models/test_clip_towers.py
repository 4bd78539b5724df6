"""Tests that our CLIP is open_clip's: the same initial weights from the same seed, under the same names, and the same numbers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from unclip_models.clip import Clip
from unclip_models.config import ClipConfig, TowerConfig

TOWER = TowerConfig(width=32, depth=2, heads=4)
VIT = ClipConfig(image_size=32, patch_size=8, vision=TOWER, text=TOWER, vocab_size=64, context=8, embed_dim=16)
CONFIGS = {"vit": VIT, "resnet": replace(VIT, image_size=64, residual_blocks=(1, 2, 1, 1), vision=TowerConfig(width=8, depth=1, heads=1))}


def theirs(config: ClipConfig) -> nn.Module:
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision, text = config.vision, config.text
    image_tower = CLIPVisionCfg(
        layers=config.residual_blocks or vision.depth,
        width=vision.width,
        head_width=vision.width // vision.heads,
        mlp_ratio=vision.mlp_ratio,
        patch_size=config.patch_size,
        image_size=config.image_size,
    )
    text_tower = CLIPTextCfg(
        context_length=config.context,
        vocab_size=config.vocab_size,
        width=text.width,
        heads=text.heads,
        layers=text.depth,
        mlp_ratio=text.mlp_ratio,
    )
    return CLIP(config.embed_dim, image_tower, text_tower)


def pair(config: ClipConfig) -> tuple[Clip, nn.Module]:
    torch.manual_seed(3)
    ours = Clip(config)
    torch.manual_seed(3)
    return ours, theirs(config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_same_seed_gives_open_clips_weights_in_its_order(config: ClipConfig) -> None:
    ours, other = pair(config)
    mine, its = dict(ours.network.named_parameters()), dict(other.named_parameters())
    assert list(mine) == list(its)
    assert [name for name in mine if not torch.equal(mine[name], its[name])] == []
    assert list(ours.network.state_dict()) == list(other.state_dict())


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_pictures_and_captions_get_open_clips_embeddings_and_gradients(config: ClipConfig, bfloat16: bool) -> None:
    ours, other = pair(config)
    pixels = torch.rand(3, 3, config.image_size, config.image_size) * 2 - 1
    tokens = torch.randint(1, config.vocab_size, (3, config.context))

    def embedded(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return nn.functional.normalize(image.float(), dim=-1), nn.functional.normalize(text.float(), dim=-1)

    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        mine = ours.encode_image(pixels), ours.encode_text(tokens).embedding_BD
        scaled = ((pixels + 1) / 2 - ours.mean_3[:, None, None]) / ours.std_3[:, None, None]
        its = embedded(other.get_submodule("visual")(scaled), encode_text(other, tokens))
    for one, another in zip(mine, its, strict=True):
        assert torch.equal(one, another)
    for image, text in (mine, its):
        (image @ text.T).square().sum().backward()
    gradients = dict(other.named_parameters())
    for name, weight in ours.network.named_parameters():
        its_gradient = gradients[name].grad
        assert (weight.grad is None) == (its_gradient is None), name
        if weight.grad is not None and its_gradient is not None:
            assert torch.equal(weight.grad, its_gradient), name


def encode_text(network: nn.Module, tokens: Tensor) -> Tensor:
    method = getattr(network, "encode_text")  # noqa: B009  torch's modules hide what they hold from the type checker
    return method(tokens)

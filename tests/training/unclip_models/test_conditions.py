"""Tests of what the tiny networks are told: a locked tower, word vectors, a linear path, an embedding for the upsampler."""

from dataclasses import replace

import pytest
import torch

from unclip_models.checkpoint import load, save
from unclip_models.clip import Clip
from unclip_models.config import ClipConfig, CompactUpsamplerConfig, PriorConfig, TowerConfig, UNetConfig
from unclip_models.efficientnet import NUM_FEATURES, LockedTower
from unclip_models.prior import Prior
from unclip_models.text import Text
from unclip_models.upsampler import CompactUpsampler
from unclip_pairs.errors import UserError
from unclip_training.pretrained import PackageFile, picture_weights, word_tokenizer, word_vectors

TOWER = TowerConfig(width=32, depth=1, heads=2)
LOCKED = ClipConfig(
    image_size=128, patch_size=128, vision=TOWER, text=TOWER, vocab_size=50, context=6, embed_dim=12, locked=True, word_width=8
)
TOLD = CompactUpsamplerConfig(
    low_size=8,
    image_size=32,
    patch=4,
    unet=UNetConfig(side=8, channels=16, multipliers=(1,), num_blocks=1, num_groups=8),
    embed_dim=12,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_fitted_tower_whitens_what_it_was_fitted_to() -> None:
    tower = LockedTower(5)
    features = noise(200, 6) @ noise(6, NUM_FEATURES)
    tower.fit(features)
    found = tower.project(features)
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.T @ found / len(found), torch.eye(5), atol=2e-2, rtol=0)


def test_a_tower_that_saw_fewer_pictures_than_directions_leaves_the_others_empty() -> None:
    tower = LockedTower(12)
    tower.fit(noise(4, NUM_FEATURES))
    assert int((tower.projection_FD.abs().sum(0) > 0).sum()) == 3


def test_a_locked_tower_never_trains_and_travels_with_its_clip(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = Clip(LOCKED).train()
    tower = clip.network.visual
    assert isinstance(tower, LockedTower) and not tower.training and not any(p.requires_grad for p in tower.parameters())
    tower.fit(noise(40, NUM_FEATURES))
    save(tmp_path / "clip.safetensors", clip, LOCKED)
    again, config = load(tmp_path / "clip.safetensors")
    assert config == LOCKED and isinstance(again, Clip)
    pictures = noise(2, 3, 128, 128).clamp(-1, 1)
    with torch.no_grad():
        torch.testing.assert_close(again.encode_image(pictures), clip.encode_image(pictures))


def test_the_published_weights_fit_the_network_and_tell_pictures_apart() -> None:
    tower = LockedTower(4)
    tower.features.load_state_dict(picture_weights())
    flat, bars = torch.zeros(1, 3, 128, 128), torch.ones(1, 3, 128, 128)
    bars[..., ::16, :] = -1
    with torch.no_grad():
        found = tower.features(torch.cat([flat, bars]))
    assert found.shape == (2, NUM_FEATURES) and bool(found.isfinite().all())
    assert float((found[0] - found[1]).abs().mean()) > 0.1


def test_words_that_mean_the_same_have_vectors_that_lie_near() -> None:
    tokenizer, vectors = word_tokenizer(12), word_vectors(32_003, 128)

    def mean(text: str) -> torch.Tensor:
        tokens = [token for token in tokenizer.encode([text])[0].tolist() if token < 32_000]
        return torch.nn.functional.normalize(vectors[tokens].mean(0), dim=0)

    assert float(mean("puppy") @ mean("dog")) > float(mean("rocket") @ mean("dog")) + 0.2
    assert tokenizer.encode(["A RED Apple"]).tolist() == tokenizer.encode(["a red apple"]).tolist()
    row = tokenizer.encode(["a red apple"])[0]
    assert int(row.argmax()) == int((row == 32_002).nonzero()[0]), "the end token has the highest id"


def test_a_file_of_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(UserError, match="no_such_package is not installed; run `make setup`"):
        PackageFile("no-such-package==1", "no_such_package", "weights", "0" * 64).path()


def test_the_linear_path_speaks_and_is_silent_where_the_text_is_left_out() -> None:
    prior = Prior(PriorConfig(embed_dim=12, text_width=32, context=6, tower=TOWER, linear_path=True)).eval()
    assert prior.linear_path is not None
    text = Text(torch.zeros(2, 6).long(), torch.nn.functional.normalize(noise(2, 12), dim=1), noise(2, 6, 32))
    t = torch.tensor([0.5, 0.5])
    with torch.no_grad():
        both = prior(noise(2, 12), t, text)
        dropped = prior(noise(2, 12), t, text, torch.tensor([True, False]))
    assert float((both[0] - dropped[0]).abs().max()) < 1e-6
    assert float(dropped[1].abs().max()) == 0.0, "a fresh transformer says nothing"
    assert float(both[1].abs().max()) > 0


def test_an_upsampler_hears_the_embedding_and_can_be_kept_from_it() -> None:
    upsampler = CompactUpsampler(TOLD).eval()
    torch.nn.init.normal_(upsampler.head.conv.weight, std=0.1)
    for parameter in upsampler.unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, low, z, t = noise(2, 3, 32, 32), noise(2, 3, 8, 8), noise(2, 12), torch.tensor([0.5, 0.5])
    with torch.no_grad():
        one, other = upsampler(x, t, low, z), upsampler(x, t, low, -z)
        kept = upsampler(x, t, low, z, torch.tensor([False, False]))
    assert float((one - other).abs().max()) > 1e-3
    torch.testing.assert_close(kept, upsampler(x, t, low, -z, torch.tensor([False, False])))


def test_an_upsampler_without_an_embedding_needs_none() -> None:
    upsampler = CompactUpsampler(replace(TOLD, embed_dim=0)).eval()
    assert upsampler(noise(1, 3, 32, 32), torch.tensor([0.5]), noise(1, 3, 8, 8)).shape == (1, 3, 32, 32)

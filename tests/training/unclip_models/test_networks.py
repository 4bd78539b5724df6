"""Tests of the networks: shapes, conditioning that matters, nulls that hide, published sizes, checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unclip_models import checkpoint
from unclip_models.build import build
from unclip_models.clip import Clip
from unclip_models.compact_decoder import CompactDecoder
from unclip_models.config import (
    ClipConfig,
    CompactDecoderConfig,
    CompactUpsamplerConfig,
    DecoderConfig,
    EmbeddingRegressorConfig,
    NetworkConfig,
    PictureRegressorConfig,
    PriorConfig,
    TowerConfig,
    UNetConfig,
    UpsamplerConfig,
    from_json,
    to_json,
)
from unclip_models.decoder import Decoder
from unclip_models.layers import Whitening
from unclip_models.paper import PAPER_DECODER, on_meta, parameter_table
from unclip_models.prior import Prior
from unclip_models.regressors import PictureRegressor
from unclip_models.text import Text
from unclip_models.upsampler import CompactUpsampler, Upsampler, enlarged
from unclip_pairs.errors import UserError

torch.set_num_threads(1)

TOWER = TowerConfig(width=32, depth=2, heads=2)
UNET = UNetConfig(side=16, channels=16, multipliers=(1, 2), num_blocks=1, attention_sides=(8,), head_channels=16, num_groups=8)
CONV = replace(UNET, attention_sides=())
CLIP = ClipConfig(image_size=32, patch_size=8, vision=TOWER, text=TOWER, vocab_size=50, context=6, embed_dim=12)
RESNET_CLIP = replace(CLIP, residual_blocks=(1, 1, 1, 1))
PRIOR = PriorConfig(embed_dim=12, text_width=32, context=6, tower=TOWER)
PRIOR_WITH_REGRESSOR = replace(PRIOR, regressor=EmbeddingRegressorConfig(width=16, depth=1))
DECODER = DecoderConfig(unet=UNET, text=TOWER, vocab_size=50, context=6, embed_dim=12)
REGRESSOR = PictureRegressorConfig(width=16, depth=2, components=9)
COMPACT = CompactDecoderConfig(image_size=32, patch=2, unet=UNET, embed_dim=12, text_width=32, regressor=REGRESSOR)
PLAIN = replace(COMPACT, text_width=0, regressor=None)
UPSAMPLER = UpsamplerConfig(low_size=8, unet=CONV)
COMPACT_UPSAMPLER = CompactUpsamplerConfig(low_size=32, image_size=64, patch=4, unet=CONV)
ALL: list[NetworkConfig] = [CLIP, RESNET_CLIP, PRIOR, PRIOR_WITH_REGRESSOR, DECODER, COMPACT, PLAIN, UPSAMPLER, COMPACT_UPSAMPLER]
TOKENS = torch.tensor([[1, 5, 6, 49, 0, 0], [1, 7, 49, 0, 0, 0]])


def made(config: NetworkConfig) -> nn.Module:
    """The network with random weights everywhere, so that nothing is hidden behind layers that start at zero."""
    torch.manual_seed(0)
    network = build(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def clip_text() -> Text:
    clip = made(CLIP)
    assert isinstance(clip, Clip)
    text = clip.encode_text(TOKENS)
    return replace(text, features_BSW=30 * text.features_BSW)  # as large as trained ones, or their effect drowns


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def test_clip_gives_unit_embeddings_and_features_that_end_with_the_caption() -> None:
    clip = made(CLIP)
    assert isinstance(clip, Clip)
    image, text, scale = clip(noise(2, 3, 32, 32), TOKENS)
    assert image.shape == text.shape == (2, 12) and scale > 0
    torch.testing.assert_close(image.norm(dim=1), torch.ones(2))
    features = clip.encode_text(TOKENS).features_BSW
    assert features[0, 4:].abs().max() == 0 and features[1, 3:].abs().max() == 0 and features[0, 3].abs().max() > 0


def test_the_prior_sees_text_time_and_noise() -> None:
    prior, text, z, t = made(PRIOR), clip_text(), noise(2, 12), torch.tensor([0.3, 0.8])
    said = prior(z, t, text)
    other = replace(text, embedding_BD=text.embedding_BD.flip(0))
    for changed in (prior(z + 1, t, text), prior(z, t + 0.1, text), prior(z, t, other), prior(z, t, text.select(torch.tensor([1, 0])))):
        assert not torch.allclose(said, changed, atol=1e-4)


def test_a_dropped_caption_cannot_be_told_from_another_dropped_caption() -> None:
    prior, text, z, t = made(PRIOR), clip_text(), noise(2, 12), torch.full((2,), 0.5)
    swapped, dropped = text.select(torch.tensor([1, 0])), torch.zeros(2, dtype=torch.bool)
    torch.testing.assert_close(prior(z, t, text, dropped), prior(z, t, swapped, dropped))
    torch.testing.assert_close(prior(z, t, text, ~dropped), prior(z, t, text))


def test_embeddings_are_standardised_by_what_was_fitted() -> None:
    prior = build(PRIOR)
    assert isinstance(prior, Prior)
    z = noise(500, 12) * 0.05 + 0.2
    torch.testing.assert_close(prior.stats.standardise(z), z * 17.2)
    prior.stats.fit(z)
    standard = prior.stats.standardise(z)
    assert standard.mean().abs() < 1e-4 and abs(float(standard.std()) - 1) < 0.01
    torch.testing.assert_close(prior.stats.restore(standard), z)


@pytest.mark.parametrize(("config", "side", "channels"), [(DECODER, 16, 6), (COMPACT, 32, 3)])
def test_a_decoder_sees_embedding_and_text_and_can_be_kept_from_both(config: NetworkConfig, side: int, channels: int) -> None:
    decoder, text = made(config), clip_text()
    x, t, z = noise(2, 3, side, side), torch.tensor([0.2, 0.9]), text.embedding_BD
    swap, dropped = torch.tensor([1, 0]), torch.zeros(2, dtype=torch.bool)
    said = decoder(x, t, z, text)
    assert said.shape == (2, channels, side, side)
    assert not torch.allclose(said, decoder(x, t, z[swap], text), atol=1e-4)
    assert not torch.allclose(said, decoder(x, t, z, text.select(swap)), atol=1e-4)
    torch.testing.assert_close(decoder(x, t, z, text, dropped), decoder(x, t, z[swap], text, dropped))
    torch.testing.assert_close(decoder(x, t, z, text, None, dropped), decoder(x, t, z, text.select(swap), None, dropped))


def test_a_decoder_paints_without_text_as_if_it_were_dropped() -> None:
    text, dropped = clip_text(), torch.zeros(2, dtype=torch.bool)
    x, t = noise(2, 3, 16, 16), torch.tensor([0.2, 0.9])
    decoder = made(DECODER)
    torch.testing.assert_close(decoder(x, t, text.embedding_BD, None), decoder(x, t, text.embedding_BD, text, None, dropped))
    assert made(COMPACT)(noise(2, 3, 32, 32), t, text.embedding_BD, None).shape == (2, 3, 32, 32)
    assert made(PLAIN)(noise(2, 3, 32, 32), t, text.embedding_BD, None).shape == (2, 3, 32, 32)


def test_whitened_embeddings_are_uncorrelated_with_variance_one() -> None:
    z = noise(2000, 12) @ (torch.eye(12) + 0.1 * noise(12, 12)) * 0.05 + 0.2
    whitening = Whitening(12)
    torch.testing.assert_close(whitening.restore(whitening.standardise(z)), z)
    whitening.fit(z)
    white = whitening.standardise(z)
    torch.testing.assert_close(white.T @ white / len(white), torch.eye(12), atol=0.05, rtol=0)
    torch.testing.assert_close(whitening.restore(white), z, atol=1e-4, rtol=1e-3)


def test_a_sketch_can_draw_whatever_its_components_span() -> None:
    torch.manual_seed(0)
    pictures = (noise(40, 3) @ noise(3, 3 * 8 * 8)).view(40, 3, 8, 8) * 0.2
    regressor = PictureRegressor(PictureRegressorConfig(width=8, depth=1, components=3), condition_width=12, side=8)
    regressor.fit(pictures)
    flat = pictures.flatten(1) - regressor.mean_P
    torch.testing.assert_close(flat @ regressor.basis_KP.T @ regressor.basis_KP, flat, atol=1e-4, rtol=1e-3)
    assert float((flat @ regressor.basis_KP.T / regressor.scale).square().mean()) == pytest.approx(1.0, rel=0.01)
    assert regressor(noise(5, 12)).shape == (5, 3, 8, 8)


def test_the_compact_decoder_shows_its_sketch() -> None:
    decoder, text = made(COMPACT), clip_text()
    assert isinstance(decoder, CompactDecoder)
    x, t = noise(2, 3, 32, 32), torch.tensor([0.2, 0.9])
    assert decoder.regressor is not None
    curves = torch.zeros_like(decoder.preconditioning.curves_5K)
    curves[3] = decoder.preconditioning.times_K
    decoder.preconditioning.set(curves)
    regressor = decoder.regressor(decoder.condition(decoder.stats.standardise(text.embedding_BD), text, None))
    torch.testing.assert_close(decoder(x, t, text.embedding_BD, text), t[:, None, None, None] * regressor)


@pytest.mark.parametrize("config", [DECODER, COMPACT, UPSAMPLER])
def test_a_fresh_network_says_nothing(config: NetworkConfig) -> None:
    network, t = build(config), torch.tensor([0.5, 0.6])
    if isinstance(network, Upsampler):
        said = network(noise(2, 3, 16, 16), t, noise(2, 3, 8, 8))
    else:
        assert isinstance(network, Decoder | CompactDecoder)
        said = network(noise(2, 3, network.config.image_size, network.config.image_size), t, clip_text().embedding_BD, None)
    assert said.abs().max() == 0


def test_a_fresh_compact_upsampler_is_bilinear_and_takes_crops() -> None:
    network, low = build(COMPACT_UPSAMPLER), noise(2, 3, 8, 8)
    assert isinstance(network, CompactUpsampler)
    x = noise(2, 3, 16, 16)
    torch.testing.assert_close(network(x, torch.tensor([0.5, 0.6]), low), enlarged(low, x))
    assert made(COMPACT_UPSAMPLER)(noise(1, 3, 64, 64), torch.tensor([0.5]), noise(1, 3, 32, 32)).shape == (1, 3, 64, 64)


def test_every_parameter_learns() -> None:
    network, text = made(COMPACT).train(), clip_text()
    keep = torch.tensor([True, False])
    network(noise(2, 3, 32, 32), torch.tensor([0.2, 0.9]), text.embedding_BD, text, keep, keep).square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_bf16_and_channels_last_give_nearly_the_same() -> None:
    network, text = made(COMPACT), clip_text()
    x, t = noise(2, 3, 32, 32), torch.tensor([0.2, 0.9])
    said = network(x, t, text.embedding_BD, text)
    folded = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), t, text.embedding_BD, text)
    torch.testing.assert_close(folded, said, atol=1e-4, rtol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, t, text.embedding_BD, text)
    assert half.dtype == torch.float32 and (half - said).abs().mean() < 0.05 * said.abs().mean()


def test_paper_networks_have_the_published_sizes() -> None:
    assert [(row.name, f"{row.deviation:+.1%}") for row in parameter_table() if abs(row.deviation) > 0.05] == []


def test_the_paper_decoder_is_two_parts_as_in_glide() -> None:
    decoder = on_meta(PAPER_DECODER)
    parts = [sum(p.numel() for p in decoder.get_submodule(name).parameters()) for name in ("unet", "text_encoder.blocks")]
    assert parts == [pytest.approx(2.3e9, rel=0.05), pytest.approx(1.2e9, rel=0.05)]


@pytest.mark.parametrize("config", ALL, ids=lambda config: type(config).__name__)
def test_a_checkpoint_rebuilds_its_own_network(tmp_path: Path, config: NetworkConfig) -> None:
    network, path = made(config), tmp_path / "weights.safetensors"
    checkpoint.save(path, network, config, {"diffusion": "{}"})
    loaded, loaded_config = checkpoint.load(path)
    assert loaded_config == config and not loaded.training and checkpoint.read_extra(path) == {"diffusion": "{}"}
    assert {n: v.tolist() for n, v in loaded.state_dict().items()} == {n: v.tolist() for n, v in network.state_dict().items()}


@pytest.mark.parametrize("size", [0, 4, 400, -1])
def test_a_cut_off_checkpoint_is_one_sentence(tmp_path: Path, size: int) -> None:
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, build(PRIOR), PRIOR)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"^The weights file .*weights\.safetensors cannot be read .*train the stage again\.$") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load(tmp_path / "weights.safetensors")


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="carries no config"):
        checkpoint.load(path)


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    checkpoint.save(path, build(PRIOR), PRIOR)
    wider = json.dumps(to_json(replace(PRIOR, embed_dim=13)))
    save_file(load_file(path), path, metadata={"config": wider})
    with pytest.raises(UserError, match="does not fit its own config"):
        checkpoint.load(path)


@pytest.mark.parametrize(("field", "value"), [("kind", "gan"), ("code_version", 0), ("colour", "red")])
def test_a_config_of_another_kind_or_version_is_refused(field: str, value: object) -> None:
    with pytest.raises(UserError, match=str(value) if field != "colour" else "colour"):
        from_json(to_json(PRIOR) | {field: value})


def test_a_config_that_lacks_a_field_is_refused() -> None:
    value = to_json(PRIOR)
    del value["embed_dim"]
    with pytest.raises(UserError, match="embed_dim"):
        from_json(value)


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="heads is 3"):
        TowerConfig(width=32, depth=1, heads=3)
    with pytest.raises(UserError, match="attention_sides"):
        replace(UNET, attention_sides=(7,))
    with pytest.raises(UserError, match=r"unet\.side is 16"):
        replace(COMPACT, image_size=64)
    with pytest.raises(UserError, match="an upsampler has none"):
        UpsamplerConfig(low_size=8, unet=UNET)

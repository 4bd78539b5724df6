"""Tests of the generator on a bundle of tiny random networks: seeds, batches, sizes, candidates, broken bundles."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import nn

from unclip_diffusion.config import Diffusion
from unclip_generation.bundle import Guidance
from unclip_generation.pictures import to_pictures, to_pixels
from unclip_generation.pipeline import UnCLIP, nearest_candidates
from unclip_generation.seeds import PictureNoise
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

torch.set_num_threads(1)

PROMPTS = [f"a {colour} {thing}" for colour in ("red", "green", "blue", "grey") for thing in ("apple", "pear")]
SEEDS = list(range(10, 18))
TOWER = TowerConfig(width=32, depth=1, heads=2)
UNET = UNetConfig(side=8, channels=16, multipliers=(1, 2), num_blocks=1, attention_sides=(4,), head_channels=16, num_groups=8)
CONV = replace(UNET, attention_sides=())
STOCHASTIC = Diffusion(schedule="cosine", prediction="x0", sampler="ddpm", steps=(4,), clip=None)
DECODING = Diffusion(schedule="cosine", prediction="v", sampler="ddim", steps=(6,), eta=0.5)
UPSAMPLING = Diffusion(schedule="cosine", prediction="x0", sampler="dpm", steps=(3,))


def configs(vocab_size: int) -> dict[str, tuple[NetworkConfig, Diffusion | None]]:
    """File name to network and diffusion: 16 px, then 32, then 64."""
    clip = ClipConfig(image_size=16, patch_size=8, vision=TOWER, text=TOWER, vocab_size=vocab_size, context=8, embed_dim=16)
    return {
        "clip": (clip, None),
        "prior": (PriorConfig(embed_dim=16, text_width=32, context=8, tower=TOWER), STOCHASTIC),
        "decoder": (
            CompactDecoderConfig(
                image_size=16,
                patch=2,
                unet=UNET,
                embed_dim=16,
                map_side=4,
                text_width=32,
                regressor=PictureRegressorConfig(width=16, depth=1, components=8),
            ),
            DECODING,
        ),
        "upsampler_1": (CompactUpsamplerConfig(low_size=16, image_size=32, patch=4, unet=CONV), UPSAMPLING),
        "upsampler_2": (CompactUpsamplerConfig(low_size=32, image_size=64, patch=8, unet=CONV), UPSAMPLING),
    }


def write_bundle(folder: Path) -> Path:
    """A whole bundle whose networks say something (random weights everywhere)."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.train(PROMPTS, vocab_size=300, context=8)
    tokenizer.save(folder / "tokenizer.json")
    torch.manual_seed(1)
    for name, (config, diffusion) in configs(tokenizer.vocab_size).items():
        network = build(config)
        for parameter in network.parameters():  # as a trained network: nothing zero, nothing saturated
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5) if parameter.dim() > 1 else nn.init.normal_(parameter, 0.5, 0.1)
        extra = {} if diffusion is None else {"diffusion": diffusion.to_json()}
        checkpoint.save(folder / f"{name}.safetensors", network, config, extra)
    files = {name: f"{name}.safetensors" for name in ("clip", "prior", "decoder")}
    upsamplers = [f"upsampler_{i}.safetensors" for i in (1, 2)]
    listing = {"format": 1, "tokenizer": "tokenizer.json", **files, "upsamplers": upsamplers, "guidance": {"prior": 1.5, "decoder": 2.5}}
    (folder / "bundle.json").write_text(json.dumps(listing))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def unclip(folder: Path) -> UnCLIP:
    return UnCLIP.load(folder)


def arrays(pictures: list[Image.Image]) -> list[NDArray[np.int64]]:
    return [np.asarray(picture).astype(int) for picture in pictures]


def difference(a: Image.Image, b: Image.Image) -> int:
    """The largest difference of any pixel, of 255."""
    one, other = arrays([a, b])
    return int(np.abs(one - other).max())


def test_the_same_seed_paints_the_same_picture_in_another_process(unclip: UnCLIP, folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path; from unclip_generation.pipeline import UnCLIP; torch.set_num_threads(1);"
        "UnCLIP.load(Path(sys.argv[1])).generate(['a red apple'], [7])[0].save(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", script, str(folder), str(tmp_path / "there.png")], check=True, timeout=240)
    unclip.generate(["a red apple"], [7])[0].save(tmp_path / "here.png")
    unclip.generate(["a red apple"], [7])[0].save(tmp_path / "again.png")
    assert (tmp_path / "here.png").read_bytes() == (tmp_path / "again.png").read_bytes() == (tmp_path / "there.png").read_bytes()


def test_a_picture_does_not_depend_on_its_neighbours(unclip: UnCLIP) -> None:
    together = unclip.generate(PROMPTS, SEEDS)
    for i in range(8):
        assert difference(together[i], unclip.generate([PROMPTS[i]], [SEEDS[i]])[0]) <= 2
    small = replace(unclip, batch_size=3).generate(PROMPTS, SEEDS)
    assert max(difference(a, b) for a, b in zip(together, small, strict=True)) <= 2


def test_a_bundle_written_by_an_earlier_version_paints_the_same_picture() -> None:
    """The bundle is of commit 5160b91, whose networks and configs said guess, sketch and shares; so do the files of today."""
    folder = Path(__file__).parent / "earlier_bundle"
    painted = UnCLIP.load(folder).generate(["a red apple"], [7], 16)[0]
    with Image.open(folder / "painted.png") as earlier:
        assert difference(painted, earlier) <= 2  # processors round differently


@pytest.mark.parametrize("stage", ["prior", "decoder"])
def test_weights_files_keep_their_names(stage: str, tmp_path: Path) -> None:
    path = Path(__file__).parent / "earlier_bundle" / f"{stage}.safetensors"
    network, config = checkpoint.load(path)
    checkpoint.save(tmp_path / "again.safetensors", network, config, checkpoint.read_extra(path))
    with safe_open(path, "pt") as earlier, safe_open(tmp_path / "again.safetensors", "pt") as again:
        before, now = json.loads(earlier.metadata()["config"]), json.loads(again.metadata()["config"])
        assert {name: now[name] for name in before} == before  # a field that came later has its default
        assert earlier.metadata()["diffusion"] == again.metadata()["diffusion"]
        assert list(earlier.keys()) == list(again.keys())
        for name in earlier.keys():  # noqa: SIM118 (not a dict)
            assert torch.equal(earlier.get_tensor(name), again.get_tensor(name))


def test_another_seed_or_another_prompt_is_another_picture(unclip: UnCLIP) -> None:
    base, seed, prompt = unclip.generate(["a red apple", "a red apple", "a blue pear"], [1, 2, 1], 64)
    assert difference(base, seed) > 2 and difference(base, prompt) > 2


@pytest.mark.parametrize("size", [256, 512, 1024, 40])
def test_pictures_come_in_the_size_asked_for(unclip: UnCLIP, size: int) -> None:
    picture = unclip.generate(["a red apple"], [0], size)[0]
    assert picture.size == (size, size) and picture.mode == "RGB"


def test_stages_that_the_size_does_not_need_are_left_out(unclip: UnCLIP) -> None:
    heard: list[str] = []
    for size in (16, 32, 64):
        heard.append("")
        unclip.generate(["a red apple"], [0], size, progress=lambda stage, done: heard.append(stage))
    stages = " ".join(dict.fromkeys(heard[: heard.index("", 1)]))
    assert stages.split() == ["prior", "decoder"] and heard.count("upsampler 1") == 6 and heard.count("upsampler 2") == 3


def test_progress_rises_to_one(unclip: UnCLIP) -> None:
    heard: list[tuple[str, float]] = []
    replace(unclip, batch_size=1).generate(PROMPTS[:2], SEEDS[:2], progress=lambda stage, done: heard.append((stage, done)))
    fractions = [done for _, done in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert list(dict.fromkeys(stage for stage, _ in heard)) == ["prior", "decoder", "upsampler 1", "upsampler 2"]


def test_guidance_comes_from_the_bundle_unless_told(unclip: UnCLIP) -> None:
    assert unclip.bundle.guidance == Guidance(prior=1.5, decoder=2.5)
    told = unclip.generate(["a red apple"], [3], 64, Guidance(prior=1.5, decoder=2.5))[0]
    assert difference(told, unclip.generate(["a red apple"], [3], 64)[0]) == 0
    assert difference(told, unclip.generate(["a red apple"], [3], 64, Guidance(prior=1.0, decoder=1.0))[0]) > 0


def test_variations_are_reconstructions_of_the_pictures_own_embedding(unclip: UnCLIP) -> None:
    picture = Image.new("RGB", (50, 30), "red")
    z = unclip.encode_images([picture])
    assert float(z.norm()) == pytest.approx(1.0, abs=1e-5)
    one, other = unclip.variations([picture, picture], [1, 2])
    assert difference(one, other) > 2
    assert difference(one, unclip.reconstruct(z, [1])[0]) <= 2
    assert unclip.reconstruct(z, [1], 64, captions=["a red apple"])[0].size == (64, 64)


def test_of_two_candidates_the_one_nearer_the_text_is_taken() -> None:
    candidates = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])  # first of A, first of B, second of A, second of B
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert nearest_candidates(candidates, text).tolist() == [[1.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_more_candidates_come_nearer_the_text(unclip: UnCLIP) -> None:
    text = unclip.encode_texts(PROMPTS)
    one, four = (unclip.imagine(text, SEEDS, num_candidates=count) for count in (1, 4))
    products = [(z * text.embedding_BD).sum(-1) for z in (one, four)]
    assert (products[1] >= products[0] - 1e-5).all() and products[1].sum() > products[0].sum()
    torch.testing.assert_close(four.norm(dim=1), torch.ones(8))


def test_noise_belongs_to_the_seed_and_the_stage() -> None:
    x = PictureNoise([1, 2], "decoder").draw(3)
    torch.testing.assert_close(PictureNoise([2], "decoder").draw(3)[0], x[1])
    assert not torch.equal(PictureNoise([1], "prior 0").draw(3)[0], x[0])
    noise = PictureNoise([1, 2], "decoder")
    assert torch.equal(noise.draw(3), x) and not torch.equal(noise.draw(3), x)


def test_pixels_and_pictures_are_each_others_inverse() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    pixels = to_pixels([picture], 16)
    assert pixels.min() >= -1 and pixels.max() <= 1 and pixels.shape == (1, 3, 16, 16)
    assert difference(to_pictures(pixels, 16)[0], picture) == 0
    wide = np.asarray(to_pictures(to_pixels([Image.new("RGB", (32, 16), "black")], 32), 32)[0])
    assert wide[0].min() == 255 and wide[16].max() == 0


def test_seeds_and_sizes_that_make_no_sense_are_refused(unclip: UnCLIP) -> None:
    with pytest.raises(UserError, match="1 seeds for 2 pictures"):
        unclip.generate(["a", "b"], [1])
    with pytest.raises(UserError, match="size is 2048"):
        unclip.generate(["a"], [1], 2048)


def listing(folder: Path) -> dict[str, object]:
    value = json.loads((folder / "bundle.json").read_text())
    assert isinstance(value, dict)
    return value


def test_a_bundle_without_a_part_is_one_sentence(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    (folder / "prior.safetensors").unlink()
    with pytest.raises(UserError, match=r"prior\.safetensors cannot be read"):
        UnCLIP.load(folder)
    with pytest.raises(UserError, match=r"bundle\.json cannot be read"):
        UnCLIP.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not of format 1"),
        ({"prior": "../prior.safetensors"}, "not a plain name"),
        ({"prior": "clip.safetensors"}, "holds a ClipConfig where a Prior belongs"),
        ({"upsamplers": ["upsampler_2.safetensors"]}, "do not belong together"),
        ({"guidance": {"strength": 2}}, "must hold prior and decoder"),
    ],
)
def test_a_listing_that_does_not_fit_is_refused(tmp_path: Path, folder: Path, change: dict[str, object], message: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "bundle.json").unlink()
    (tmp_path / "bundle.json").write_text(json.dumps(listing(folder) | change))
    with pytest.raises(UserError, match=message):
        UnCLIP.load(tmp_path)

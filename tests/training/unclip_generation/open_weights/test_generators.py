"""Pictures of imported models: diffusers' own pixels, one seed one picture, whatever stands beside it in a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unclip_generation.bundle import Guidance
from unclip_generation.open_weights.generators import BATCH, noise_of
from unclip_pairs.errors import UserError

PROMPTS, SEEDS = ["a red apple", "two blue chairs"], [7, 8]


def pixels(pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
    """The pictures in [-1, 1], float32 [N, H, W, 3]."""
    return np.stack([np.asarray(picture, np.float32) for picture in pictures]) / 127.5 - 1


def difference(painted: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference of pixels that were in [0, 1], in [-1, 1], before they are rounded to bytes."""
    assert painted.shape == expected.shape and expected.std() > 0.05
    return float(np.abs(painted - expected).max() * 2)


@pytest.fixture
def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))


def test_karlo_paints_what_diffusers_paints(karlo: Any) -> None:
    expected = karlo.sources["karlo"][1](
        PROMPTS,
        generator=noise_of(SEEDS),
        prior_num_inference_steps=2,
        decoder_num_inference_steps=3,
        super_res_num_inference_steps=7,
        output_type="np",
    ).images
    assert difference(karlo.generator.from_prompts(PROMPTS, noise_of(SEEDS), 32, karlo.generator.guidance), expected) <= 1e-3
    rounded = (expected * 255).round() / 127.5 - 1
    assert np.abs(pixels(karlo.generator.generate(PROMPTS, SEEDS, 32)) - rounded).max() <= 1.01 / 127.5


def test_karlo_varies_as_diffusers_varies(karlo: Any, photograph: Image.Image) -> None:
    expected = karlo.sources["varied"][1](
        [photograph] * 2, generator=noise_of(SEEDS), decoder_num_inference_steps=3, super_res_num_inference_steps=7, output_type="np"
    ).images
    varied = karlo.generator.from_pictures([photograph] * 2, noise_of(SEEDS), 32, karlo.generator.guidance)
    assert difference(varied, expected) <= 1e-3
    assert np.abs(varied[0] - varied[1]).max() > 0.1


def test_kandinsky_paints_what_diffusers_paints(kandinsky: Any) -> None:
    noise = noise_of(SEEDS)
    embedded = kandinsky.sources["prior"][1](PROMPTS, generator=noise, num_inference_steps=2)
    expected = kandinsky.sources["decoder"][1](
        **embedded, generator=noise, height=32, width=32, num_inference_steps=3, output_type="np"
    ).images
    assert difference(kandinsky.generator.from_prompts(PROMPTS, noise_of(SEEDS), 32, kandinsky.generator.guidance), expected) <= 1e-3


def test_kandinsky_varies_as_diffusers_varies(kandinsky: Any, photograph: Image.Image) -> None:
    """The way of diffusers' own documentation: an interpolation of one picture with the weight 1."""
    prior = kandinsky.sources["prior"][1]
    embedded = prior.interpolate([photograph], [1.0], num_inference_steps=2)
    expected = kandinsky.sources["decoder"][1](
        embedded.image_embeds,
        prior.get_zero_embed(1),
        generator=noise_of([7]),
        height=32,
        width=32,
        num_inference_steps=3,
        output_type="np",
    ).images
    assert difference(kandinsky.generator.from_pictures([photograph], noise_of([7]), 32, kandinsky.generator.guidance), expected) <= 1e-3


@pytest.mark.parametrize("family", ["karlo", "kandinsky"])
def test_a_seed_paints_the_same_picture_alone_and_among_others(family: str, request: pytest.FixtureRequest) -> None:
    generator = request.getfixturevalue(family).generator
    prompts, seeds = ["a red apple"] * (BATCH + 1), list(range(BATCH + 1))
    together = pixels(generator.generate(prompts, seeds, 32))
    alone = pixels(generator.generate(prompts[:1], seeds[2:3], 32))[0]
    assert np.abs(together[2] - alone).max() <= 2 / 127.5, "the networks' last bits may differ with the batch"
    assert np.abs(together[1] - alone).max() > 0.1


def test_sizes_guidance_and_progress_are_heard(karlo: Any) -> None:
    told: list[float] = []
    small = karlo.generator.generate(["a red apple"], [7], 16, progress=lambda stage, done: told.append(done))
    assert [picture.size for picture in small] == [(16, 16)]
    assert told == sorted(told) and told[-1] == 1.0 and len(told) == 2 + 3 + 7 + 1
    assert karlo.generator.guidance == Guidance(prior=4.0, decoder=8.0)
    assert small != karlo.generator.generate(["a red apple"], [7], 16, Guidance(1.0, 1.0))


def test_seeds_and_sizes_that_make_no_sense_are_refused(kandinsky: Any) -> None:
    with pytest.raises(UserError, match="There are 1 seeds for 2 pictures"):
        kandinsky.generator.generate(PROMPTS, [7])
    with pytest.raises(UserError, match="size is 0"):
        kandinsky.generator.generate(PROMPTS, SEEDS, 0)


def test_nothing_asks_a_model_hub(karlo: Any) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    assert huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises((OfflineModeIsEnabled, LocalEntryNotFoundError)):
        huggingface_hub.hf_hub_download("nobody/nothing", "config.json")

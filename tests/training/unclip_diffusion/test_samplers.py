"""Tests of schedules, samplers, guidance and inversion on cases whose answer is known: a constant, and normal data."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unclip_diffusion.config import Diffusion, SamplerName
from unclip_diffusion.guidance import guided, guided_noise_only
from unclip_diffusion.inversion import invert_ddim
from unclip_diffusion.predictions import target, to_eps, to_x0, x0_denoiser
from unclip_diffusion.samplers import noise_power, sample_analytic, sample_ddim, sample_ddpm, sample_ddpm_learned, sample_dpm
from unclip_diffusion.sampling import sample
from unclip_diffusion.schedule import (
    COSINE,
    LINEAR,
    NoiseSchedule,
    logit_normal_times,
    sampling_times,
    schedule_named,
    step_times,
    uniform_times,
)
from unclip_pairs.errors import UserError

torch.set_num_threads(1)

MEAN, STD = 0.3, 0.5
TIMES = sampling_times((20,))
Sampling = Callable[[Callable[[Tensor, Tensor], Tensor], Tensor], Tensor]


def normal_data(x_t: Tensor, t_B: Tensor) -> Tensor:
    """The best possible denoiser when data are N(MEAN, STD^2): E[x_0 | x_t]."""
    a = COSINE.like(t_B, x_t)
    return MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (x_t - a.sqrt() * MEAN)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def analytic(denoise: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> Tensor:
    power = noise_power(denoise, MEAN + STD * draw(20_000, x.shape[1], seed=5), COSINE, TIMES)
    return sample_analytic(denoise, x, COSINE, TIMES, noise_power=power)


SAMPLERS: dict[str, Sampling] = {
    "ddim": lambda denoise, x: sample_ddim(denoise, x, COSINE, TIMES),
    "ddim with noise": lambda denoise, x: sample_ddim(denoise, x, COSINE, TIMES, eta=1.0),
    "ddpm": lambda denoise, x: sample_ddpm(denoise, x, COSINE, TIMES),
    "dpm": lambda denoise, x: sample_dpm(denoise, x, COSINE, TIMES),
    "analytic": analytic,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_that_always_says_one_thing_ends_there(name: str) -> None:
    goal = torch.tensor([0.2, -0.7, 0.9]).view(1, 3)
    x = SAMPLERS[name](lambda x, t: goal.expand_as(x), draw(4, 3))
    torch.testing.assert_close(x, goal.expand(4, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_normal_data_come_out_as_normal_data(name: str) -> None:
    x = SAMPLERS[name](normal_data, draw(20_000, 1))
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.std()) == pytest.approx(STD, abs=0.08)


def test_second_order_and_analytic_variance_come_closer_than_first_order() -> None:
    error = {name: abs(float(run(normal_data, draw(20_000, 1)).std()) - STD) for name, run in SAMPLERS.items()}
    assert error["dpm"] < 0.2 * error["ddim"]
    assert error["analytic"] < 0.3 * error["ddpm"]


def test_learned_variance_at_its_lower_bound_is_ddpm() -> None:
    def raw(x: Tensor, t_B: Tensor) -> Tensor:
        eps = to_eps(x, normal_data(x, t_B), COSINE.like(t_B, x))
        return torch.cat([eps, -torch.ones_like(eps)], dim=1)

    x = draw(500, 1, 2, 2)
    torch.manual_seed(0)
    learned = sample_ddpm_learned(raw, x, COSINE, TIMES, clip=None)
    torch.manual_seed(0)
    plain = sample_ddpm(normal_data, x, COSINE, TIMES)
    torch.testing.assert_close(learned, plain, atol=2e-2, rtol=0)  # the noise of step 0 comes back through 1 / sqrt(1e-8)


def test_the_callback_hears_every_step() -> None:
    heard: list[int] = []
    sample_ddim(normal_data, draw(2, 1), COSINE, TIMES, callback=lambda step, x_0: heard.append(step))
    assert heard == list(range(20))


def test_noise_comes_only_from_where_it_is_told_to() -> None:
    def none_drawn(x: Tensor) -> Tensor:
        raise AssertionError("deterministic samplers draw nothing")

    sample_ddim(normal_data, draw(2, 1), COSINE, TIMES, noise=none_drawn)
    zero = sample_ddim(normal_data, draw(2, 1), COSINE, TIMES, eta=1.0, noise=torch.zeros_like)
    torch.testing.assert_close(zero, sample_ddim(normal_data, draw(2, 1), COSINE, TIMES, eta=1.0, noise=torch.zeros_like))


def test_inversion_leads_back_to_the_picture() -> None:
    x_0, times = MEAN + STD * draw(8, 1), sampling_times((100,))
    x_1 = invert_ddim(normal_data, x_0, COSINE, times)
    torch.testing.assert_close(sample_ddim(normal_data, x_1, COSINE, times), x_0, atol=2e-3, rtol=0)
    torch.testing.assert_close(x_1, (x_0 - MEAN) / STD, atol=0.15, rtol=0.15)


@pytest.mark.parametrize("schedule", [COSINE, LINEAR], ids=lambda schedule: schedule.name)
def test_alpha_bar_falls_from_one_to_nearly_nothing(schedule: NoiseSchedule) -> None:
    values = schedule.alpha_bar(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert values[0] == pytest.approx(1.0) and 0 < values[-1] < 1e-4
    assert (values.diff() < 0).all()


def test_the_linear_schedule_is_the_papers_thousand_steps() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    steps = LINEAR.alpha_bar(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    torch.testing.assert_close(steps[:600].log(), (1 - betas).log().cumsum(0)[:600], rtol=0.1, atol=1e-4)


def test_noising_has_the_variance_it_names() -> None:
    t = torch.full((20_000,), 0.5)
    x_t = COSINE.q_sample(torch.full((20_000, 1), 0.8), t, draw(20_000, 1))
    a = float(COSINE.alpha_bar(torch.tensor(0.5)))
    assert float(x_t.mean()) == pytest.approx(0.8 * math.sqrt(a), abs=0.02) and float(x_t.var()) == pytest.approx(1 - a, abs=0.02)


def test_segments_crowd_the_steps_near_the_picture() -> None:
    times = sampling_times((10, 10, 3, 2, 2))
    assert len(times) == 28 and times[0] == 1 and times[-1] == 0 and (times.diff() < 0).all()
    assert float(times[-1] - times[-2]) == pytest.approx(-0.02) and float(times[1] - times[0]) == pytest.approx(-0.1)


def test_training_times_stay_in_bounds() -> None:
    generator = torch.Generator().manual_seed(0)
    for times in (uniform_times(64, generator), step_times(64, generator), logit_normal_times(64, generator=generator)):
        assert times.shape == (64,) and times.min() > 0 and times.max() <= 1


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(UserError, match="schedule is 'quadratic'"):
        schedule_named("quadratic")
    with pytest.raises(UserError, match="at least 1"):
        sampling_times((0,))
    with pytest.raises(UserError, match="one per step"):
        Diffusion(schedule="cosine", prediction="x0", sampler="analytic", steps=(4,), noise_power=(1.0,))
    with pytest.raises(UserError, match="cannot be read"):
        Diffusion.from_json('{"schedule": "cosine"}')


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_every_parameterisation_leads_back_to_the_picture(prediction: str) -> None:
    x_0, noise, t = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0.1, 0.4, 0.7, 0.95])
    a = COSINE.like(t, x_0)
    x_t = COSINE.q_sample(x_0, t, noise)
    torch.testing.assert_close(to_x0(prediction, target(prediction, x_0, noise, a), x_t, a), x_0, atol=1e-4, rtol=1e-3)  # type: ignore[arg-type]
    torch.testing.assert_close(to_eps(x_t, x_0, a), noise, atol=1e-4, rtol=1e-3)


def test_a_predicted_picture_can_be_kept_in_bounds() -> None:
    denoise = x0_denoiser(lambda x, t: 5 * torch.ones_like(x), COSINE, "x0", clip=1.0)
    assert denoise(draw(2, 1), torch.ones(2)).tolist() == [[1.0], [1.0]]


def test_guidance_goes_past_the_condition() -> None:
    def model(x: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
        return torch.where(keep_B[:, None], 3.0, 1.0).expand_as(x)

    x, t = draw(2, 1), torch.ones(2)
    assert [float(guided(model, scale)(x, t)[0]) for scale in (0.0, 1.0, 2.5)] == [1.0, 3.0, 6.0]


def test_guidance_leaves_the_learned_variance_of_the_condition_alone() -> None:
    def model(x: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
        noise, fraction = torch.where(keep_B, 3.0, 1.0), torch.where(keep_B, 0.5, -0.5)
        return torch.stack([noise, fraction], dim=1)[:, :, None, None].expand(-1, -1, 2, 2)

    output = guided_noise_only(model, 2.0, channels=1)(draw(2, 1, 2, 2), torch.ones(2))
    assert output[:, 0].unique().tolist() == [5.0] and output[:, 1].unique().tolist() == [0.5]


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm", "ddpm_learned", "analytic"])
def test_settings_from_a_file_choose_the_sampler(sampler: SamplerName) -> None:
    diffusion = Diffusion(schedule="cosine", prediction="eps", sampler=sampler, steps=(12,), noise_power=(0.9,) * 12)

    def model(x: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
        a = COSINE.like(t_B, x)
        eps = to_eps(x, 0.25 * torch.ones_like(x), a)
        return torch.cat([eps, torch.zeros_like(eps)], dim=1) if sampler == "ddpm_learned" else eps

    x = sample(Diffusion.from_json(diffusion.to_json()), model, draw(2, 3, 4, 4))
    torch.testing.assert_close(x, torch.full_like(x, 0.25), atol=1e-3, rtol=0)

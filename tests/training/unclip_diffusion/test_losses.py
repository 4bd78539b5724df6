"""Tests of the losses and the degradations on cases worked out by hand."""

import pytest
import torch
from torch import Tensor

from unclip_diffusion.degrade import add_smooth_noise, degrade_light, gaussian_blur, jpeg
from unclip_diffusion.losses import hybrid_loss, learned_log_variance, min_snr_weight, posterior, prediction_loss, velocity_weight
from unclip_diffusion.schedule import COSINE

torch.set_num_threads(1)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_the_mean_square_and_weights_count_per_sample() -> None:
    output, target = torch.tensor([[1.0, 1.0], [3.0, 3.0]]), torch.zeros(2, 2)
    assert float(prediction_loss(output, target)) == 5.0
    assert float(prediction_loss(output, target, torch.tensor([2.0, 0.0]))) == 1.0


def test_min_snr_weights_say_the_same_in_every_parameterisation() -> None:
    a = torch.tensor([0.999, 0.9, 0.5, 0.01])
    snr = a / (1 - a)
    x0, eps, v = (min_snr_weight(p, a) for p in ("x0", "eps", "v"))  # type: ignore[arg-type]
    assert x0.max() == 5.0
    torch.testing.assert_close(eps, x0 / snr)
    torch.testing.assert_close(v, x0 / (snr + 1))


def test_the_velocity_weight_makes_an_x0_loss_that_of_v() -> None:
    x_0, noise_, guess = draw(3, 5), draw(3, 5, seed=1), draw(3, 5, seed=2)
    a = torch.tensor([0.8, 0.5, 0.1])
    root, rest = a.sqrt()[:, None], (1 - a).sqrt()[:, None]
    x_t = root * x_0 + rest * noise_
    v, v_of_guess = root * noise_ - rest * x_0, root * (x_t - root * guess) / rest - rest * guess
    torch.testing.assert_close(prediction_loss(guess, x_0, velocity_weight(a)), prediction_loss(v_of_guess, v))
    assert float(velocity_weight(torch.tensor([1.0]))) == pytest.approx(12.5), "where there is no noise it is bounded"


def test_the_posterior_of_a_full_step_is_the_picture() -> None:
    x_t, x_0 = draw(2, 3), draw(2, 3, seed=1)
    mean, log_smallest, log_largest = posterior(x_t, x_0, torch.tensor(0.4), torch.tensor(1.0))
    torch.testing.assert_close(mean, x_0)
    assert log_smallest < -20 and float(log_largest.exp()) == pytest.approx(0.6)


def test_the_learned_variance_lies_between_its_bounds() -> None:
    low, high = torch.tensor(-4.0), torch.tensor(-1.0)
    assert [float(learned_log_variance(torch.tensor(f), low, high)) for f in (-1.0, 0.0, 1.0)] == [-4.0, -2.5, -1.0]


def hybrid(eps: Tensor, fraction: float, t: float) -> Tensor:
    x_0, noise = draw(4, 3, 8, 8).clamp(-1, 1), draw(4, 3, 8, 8, seed=1)
    t_B = torch.full((4,), t)
    output = torch.cat([eps, torch.full_like(eps, fraction)], dim=1)
    return hybrid_loss(output, x_0, COSINE.q_sample(x_0, t_B, noise), t_B, noise, COSINE)


def test_the_hybrid_loss_of_the_true_noise_and_the_true_variance_is_nothing() -> None:
    assert float(hybrid(draw(4, 3, 8, 8, seed=1), fraction=-1.0, t=0.5)) == pytest.approx(0.0, abs=1e-4)
    assert float(hybrid(draw(4, 3, 8, 8, seed=1), fraction=1.0, t=0.01)) > 1e-3


@pytest.mark.parametrize("t", [0.001, 0.002, 0.5, 1.0])
def test_the_hybrid_loss_is_finite_at_every_time(t: float) -> None:
    assert torch.isfinite(hybrid(draw(4, 3, 8, 8, seed=2), fraction=0.3, t=t))


def test_the_bound_moves_only_the_variance() -> None:
    x_0, noise, t_B = draw(2, 3, 4, 4).clamp(-1, 1), draw(2, 3, 4, 4, seed=1), torch.full((2,), 0.3)
    output = torch.cat([noise, torch.zeros_like(noise)], dim=1).requires_grad_()
    hybrid_loss(output, x_0, COSINE.q_sample(x_0, t_B, noise), t_B, noise, COSINE).backward()
    assert output.grad is not None
    assert output.grad[:, :3].abs().max() == 0 and output.grad[:, 3:].abs().max() > 0


def test_blur_keeps_flat_pictures_and_softens_edges() -> None:
    flat = torch.full((1, 3, 8, 8), 0.4)
    torch.testing.assert_close(gaussian_blur(flat), flat)
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 4] = 1.0
    blurred = gaussian_blur(dot)
    assert float(blurred.sum()) == pytest.approx(1.0, abs=1e-5)
    side = float(torch.exp(torch.tensor(-1 / (2 * 0.6**2))))
    assert float(blurred[0, 0, 4, 4]) == pytest.approx(1 / (1 + 2 * side) ** 2, abs=1e-5)


def test_jpeg_loses_little_at_high_quality_and_more_at_low() -> None:
    picture = draw(2, 3, 20, 28).clamp(-1, 1)
    loss = [float((jpeg(picture, quality) - picture).abs().mean()) for quality in (100, 80, 30)]
    assert loss[0] < 0.01 < loss[1] < loss[2]
    assert jpeg(picture, 50).shape == picture.shape


def test_degradation_is_mild_and_repeats_with_its_seed() -> None:
    picture = torch.sin(torch.linspace(0, 12, 64 * 64)).view(1, 1, 64, 64).expand(2, 3, 64, 64)
    once, again = (degrade_light(picture, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(once, again) and once.shape == picture.shape and once.abs().max() <= 1
    assert 0 < float((once - picture).abs().mean()) < 0.25
    assert not torch.equal(once, degrade_light(picture, torch.Generator().manual_seed(8)))


def test_stains_are_smooth_and_no_deeper_than_asked() -> None:
    torch.manual_seed(0)
    clean = torch.zeros(64, 3, 32, 32)
    stains = add_smooth_noise(clean, most=0.2)
    deviation_B = stains.flatten(1).std(1)
    assert deviation_B.max() < 0.25 and 0.07 < deviation_B.mean() < 0.13
    beside = (stains[..., 1:] * stains[..., :-1]).mean() / stains.square().mean()
    assert beside > 0.2, "white noise would have nothing in common with its neighbour"

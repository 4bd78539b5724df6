"""Preconditioning around an estimate."""

import pytest
import torch

from unclip_diffusion.config import Prediction
from unclip_diffusion.preconditioning import coefficients
from unclip_diffusion.predictions import to_x0
from unclip_diffusion.schedule import COSINE

DEVIATION = 0.3


def noised(t: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A picture, an estimate of it that is off by DEVIATION, and the noised picture; many entries, so that means are sharp."""
    generator = torch.Generator().manual_seed(0)
    x_0, off, noise = (torch.randn(100_000, generator=generator) for _ in range(3))
    return x_0, x_0 - DEVIATION * off, COSINE.q_sample(x_0[None], torch.tensor([t]), noise[None])[0]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_networks_input_and_target_have_deviation_one(prediction: Prediction, t: float) -> None:
    x_0, estimate, x_t = noised(t)
    c_in, c_in_estimate, c_skip, c_skip_estimate, c_out = coefficients(prediction, COSINE, DEVIATION, torch.tensor([t]))[:, 0]
    alpha_bar = COSINE.alpha_bar(torch.tensor([t]))
    assert float((c_in * x_t + c_in_estimate * estimate).std()) == pytest.approx(1, rel=0.02)
    straight = to_x0(prediction, c_skip * x_t + c_skip_estimate * estimate, x_t, alpha_bar)
    unit = to_x0(prediction, c_skip * x_t + c_skip_estimate * estimate + c_out, x_t, alpha_bar) - straight
    assert float(((x_0 - straight) / unit).std()) == pytest.approx(1, rel=0.02)

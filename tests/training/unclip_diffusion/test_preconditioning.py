"""Preconditioning around a guess."""

import pytest
import torch

from unclip_diffusion.config import Prediction
from unclip_diffusion.preconditioning import shares_around
from unclip_diffusion.predictions import to_x0
from unclip_diffusion.schedule import COSINE

DEVIATION = 0.3


def noised(t: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A picture, a guess of it that is off by DEVIATION, and the noised picture; many entries, so that means are sharp."""
    generator = torch.Generator().manual_seed(0)
    x_0, off, noise = (torch.randn(100_000, generator=generator) for _ in range(3))
    return x_0, x_0 - DEVIATION * off, COSINE.q_sample(x_0[None], torch.tensor([t]), noise[None])[0]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_what_the_network_sees_and_must_add_has_deviation_one(prediction: Prediction, t: float) -> None:
    x_0, guess, x_t = noised(t)
    seen_x, seen_guess, said_x, said_guess, said_detail = shares_around(prediction, COSINE, DEVIATION, torch.tensor([t]))[:, 0]
    alpha_bar = COSINE.alpha_bar(torch.tensor([t]))
    assert float((seen_x * x_t + seen_guess * guess).std()) == pytest.approx(1, rel=0.02)
    straight = to_x0(prediction, said_x * x_t + said_guess * guess, x_t, alpha_bar)
    unit = to_x0(prediction, said_x * x_t + said_guess * guess + said_detail, x_t, alpha_bar) - straight
    assert float(((x_0 - straight) / unit).std()) == pytest.approx(1, rel=0.02)

"""Preconditioning around an estimate of x_0 (Karras et al., 2022, section 5, with the estimate in place of the mean).

D(x, t) = c_skip x + c_skip_estimate e + c_out F(c_in x + c_in_estimate e, t): the network F need only predict the residual of the estimate
e, at a size of about one. The coefficients are curves over time, stored with the weights and set by the training, because they depend on
the diffusion, which the network does not know.
"""

# B batch, K points of a curve; x, estimate and residual are [B, ...] of one shape

from dataclasses import dataclass

import torch
from torch import Tensor, nn

NUM_POINTS = 513


@dataclass(frozen=True)
class Coefficients:
    """The coefficients [B, 1, ...] at the times of a batch: of x_t and the estimate in F's input; of both and F's output in the result."""

    c_in: Tensor
    c_in_estimate: Tensor
    c_skip: Tensor
    c_skip_estimate: Tensor
    c_out: Tensor

    def network_input(self, x: Tensor, estimate: Tensor) -> Tensor:
        """How x_t differs from the estimate, of deviation one."""
        return self.c_in * x + self.c_in_estimate * estimate

    def output(self, x: Tensor, estimate: Tensor, residual: Tensor) -> Tensor:
        """The prediction (x_0, noise or velocity) from x_t, the estimate and F's output `residual`."""
        return self.c_skip * x + self.c_skip_estimate * estimate + self.c_out * residual


class Preconditioning(nn.Module):
    """The coefficients over time. Until `set` is called, F's input is x_t as it is, and F's output is the result."""

    curves_5K: Tensor

    def __init__(self) -> None:
        super().__init__()
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0])
        self.register_buffer("curves_5K", identity[:, None].repeat(1, NUM_POINTS))

    @property
    def times_K(self) -> Tensor:
        """The times at which the curves are given, from 0 to 1."""
        return torch.linspace(0, 1, NUM_POINTS)

    @torch.no_grad()
    def set(self, curves_5K: Tensor) -> None:
        """Takes c_in, c_in_estimate, c_skip, c_skip_estimate and c_out at `times_K`."""
        self.curves_5K.copy_(curves_5K)

    def forward(self, t_B: Tensor, num_dims: int) -> Coefficients:
        """The coefficients at these times, shaped to multiply tensors of so many dimensions."""
        point_B = t_B.float().clamp(0, 1) * (NUM_POINTS - 1)
        left_B = point_B.long().clamp(max=NUM_POINTS - 2)
        value_5B = torch.lerp(self.curves_5K[:, left_B], self.curves_5K[:, left_B + 1], point_B - left_B)
        return Coefficients(*value_5B.view(5, -1, *[1] * (num_dims - 1)).unbind(0))

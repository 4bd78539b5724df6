"""How a network with a guess of x_0 weighs what it has at each time: curves stored with the weights, set by the training.

A network that need only say what the guess leaves out, at a size of about one, learns in a fraction of the time (Karras et al., 2022,
section 5, with the guess in place of the mean). Which curves do that depends on the diffusion, which the network does not know.
"""

# B batch, K places of a curve; x, guess and detail are [B, ...] of one shape

from dataclasses import dataclass

import torch
from torch import Tensor, nn

PLACES = 513


@dataclass(frozen=True)
class SharesAt:
    """The shares [B, 1, ...] at the times of a batch: of x_t and guess in what is seen, of both and the detail in what is said."""

    seen_x: Tensor
    seen_guess: Tensor
    said_x: Tensor
    said_guess: Tensor
    said_detail: Tensor

    def seen(self, x: Tensor, guess: Tensor) -> Tensor:
        """How x_t differs from the guess, of deviation one."""
        return self.seen_x * x + self.seen_guess * guess

    def said(self, x: Tensor, guess: Tensor, detail: Tensor) -> Tensor:
        """The output: x_t, guess and the network's detail in their shares."""
        return self.said_x * x + self.said_guess * guess + self.said_detail * detail


class Shares(nn.Module):
    """Five curves over time. Until `set` is called the network sees x_t as it is and its detail is the output."""

    curves_5K: Tensor

    def __init__(self) -> None:
        super().__init__()
        plain = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0])
        self.register_buffer("curves_5K", plain[:, None].repeat(1, PLACES))

    @property
    def times_K(self) -> Tensor:
        """The times at which the curves are given, from 0 to 1."""
        return torch.linspace(0, 1, PLACES)

    @torch.no_grad()
    def set(self, curves_5K: Tensor) -> None:
        """Takes seen_x, seen_guess, said_x, said_guess, said_detail at `times_K`."""
        self.curves_5K.copy_(curves_5K)

    def forward(self, t_B: Tensor, num_dims: int) -> SharesAt:
        """The shares at these times, shaped to multiply tensors of so many dimensions."""
        place_B = t_B.float().clamp(0, 1) * (PLACES - 1)
        left_B = place_B.long().clamp(max=PLACES - 2)
        value_5B = torch.lerp(self.curves_5K[:, left_B], self.curves_5K[:, left_B + 1], place_B - left_B)
        return SharesAt(*value_5B.view(5, -1, *[1] * (num_dims - 1)).unbind(0))

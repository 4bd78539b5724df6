"""This file is how a decoder weighs what it has at each time: curves that are stored with the weights and that the training sets.

A network that need only say what the sketch leaves out, at a size of about one, learns in a fraction of the time (Karras et al., 2022,
section 5, with the sketch in place of the mean). Which curves do that depends on the diffusion, which the network does not know.
"""

# B batch, C channels, H W sides, K places of a curve

from dataclasses import dataclass

import torch
from torch import Tensor, nn

PLACES = 513


@dataclass(frozen=True)
class SharesAt:
    """The shares [B, 1, 1, 1] at the times of a batch: of picture and sketch in what is seen, of both and the detail in what is said."""

    seen_x: Tensor
    seen_sketch: Tensor
    said_x: Tensor
    said_sketch: Tensor
    said_detail: Tensor

    def seen(self, x_BCHW: Tensor, sketch_BCHW: Tensor | None) -> Tensor:
        """What the U-Net sees: how the noised picture differs from the sketch and, with a sketch, the sketch itself."""
        if sketch_BCHW is None:
            return self.seen_x * x_BCHW
        return torch.cat([self.seen_x * x_BCHW + self.seen_sketch * sketch_BCHW, sketch_BCHW], dim=1)

    def said(self, x_BCHW: Tensor, sketch_BCHW: Tensor | None, detail_BCHW: Tensor) -> Tensor:
        """The output: picture, sketch and the U-Net's detail in their shares."""
        straight = self.said_x * x_BCHW + self.said_detail * detail_BCHW
        return straight if sketch_BCHW is None else straight + self.said_sketch * sketch_BCHW


class Shares(nn.Module):
    """Five curves over time. Until `set` is called the U-Net sees x_t as it is and its detail is the output."""

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
        """Takes seen_x, seen_sketch, said_x, said_sketch, said_detail at `times_K`."""
        self.curves_5K.copy_(curves_5K)

    def forward(self, t_B: Tensor) -> SharesAt:
        place_B = t_B.float().clamp(0, 1) * (PLACES - 1)
        left_B = place_B.long().clamp(max=PLACES - 2)
        value_5B = torch.lerp(self.curves_5K[:, left_B], self.curves_5K[:, left_B + 1], place_B - left_B)
        return SharesAt(*value_5B[:, :, None, None, None].unbind(0))

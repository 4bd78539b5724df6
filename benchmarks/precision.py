"""Does bf16 train the tiny U-Nets faster than float32 on this machine? (docs/decisions/0004)

Both kinds of step run in this one process, in turns, on the same batch; the last line is the ratio of their speeds.
"""

import argparse
import time

import torch
from torch import Tensor

from unclip_models.unet import UNet
from unclip_training.precision import chosen
from unclip_training.recipes.tiny import decoder_tiny


def step_time(unet: UNet, x: Tensor, emb: Tensor, steps: int, bf16: bool) -> float:
    """Seconds of one forward and backward pass, the mean of `steps` after one that is not counted."""
    began = 0.0
    for i in range(steps + 1):
        if i == 1:
            began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = unet(x, emb).float().square().mean()
        unet.zero_grad()
        loss.backward()
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="steps of each kind in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the fastest of each kind counts")
    options = parser.parse_args()
    config = decoder_tiny().model.unet
    unet = UNet(config).to(memory_format=torch.channels_last)
    x = torch.randn(16, config.channels, config.side, config.side).contiguous(memory_format=torch.channels_last)
    emb = torch.randn(16, config.time_width)
    best = {False: float("inf"), True: float("inf")}
    for _ in range(options.rounds):
        for bf16 in best:
            best[bf16] = min(best[bf16], step_time(unet, x, emb, options.steps, bf16))
    print(f"figure unet_step_float32 {1000 * best[False]:.1f} ms")
    print(f"figure unet_step_bf16 {1000 * best[True]:.1f} ms")
    print(f"the recipes' precision 'auto' is {chosen('auto')} here")
    print(f"ratio bf16_over_float32 {best[False] / best[True]:.2f}")


if __name__ == "__main__":
    main()

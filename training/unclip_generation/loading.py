"""Loading of a generator by what its folder holds: a bundle of our five networks, or imported weights in diffusers' format."""

from pathlib import Path

import torch

from unclip_generation.bundle import read_listing
from unclip_generation.generator import Generator
from unclip_generation.open_weights import listing
from unclip_generation.pipeline import UnCLIP


def open_generator(folder: Path, device: torch.device | str | None = None) -> Generator:
    """The generator of a bundle's folder; device None: the GPU where torch finds one, else the CPU.

    `UserError` when the bundle is incomplete or broken, or when it holds imported weights and the extra open-weights is not installed.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    found = read_listing(folder / "bundle.json")
    if found.get("kind") != listing.KIND:
        return UnCLIP.load(folder, device)
    from unclip_generation.open_weights.generators import load_generator

    return load_generator(folder, listing.from_json(found), torch.device(device))

"""Generators over diffusers' pipelines: Karlo and Kandinsky 2.2, one seed one picture.

The noise of each picture comes from a generator of its own, on the CPU in float32, so it depends on no neighbour and no device.
The arithmetic is diffusers' own; the last bits of a network's output may differ with the size of the batch, as on every library.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unclip_generation.bundle import Guidance
from unclip_generation.generator import MAX_SIDE, GenerationProgress
from unclip_generation.open_weights.listing import OpenWeights
from unclip_generation.open_weights.parts import Loaded, load_pipelines
from unclip_generation.pictures import resized
from unclip_generation.seeds import stage_seed
from unclip_pairs.errors import UserError

Pixels = NDArray[np.float32]
BATCH = 4
STAGE = "open weights"


def load_generator(folder: Path, weights: OpenWeights, device: torch.device) -> "Karlo | Kandinsky":
    """The generator of an imported bundle; `UserError` when a part is missing or broken, or the extra is not installed."""
    pipelines = load_pipelines(folder, weights, device)
    return (Karlo if weights.family == "karlo" else Kandinsky)(weights, pipelines, device)


def noise_of(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator for each picture. They run through all stages of a pipeline, which draw in one order."""
    return [torch.Generator().manual_seed(stage_seed(seed, STAGE)) for seed in seeds]


@dataclass(frozen=True)
class DiffusersGenerator(ABC):
    """What both families share: batches, seeds, sizes and progress. `pipelines` are diffusers' own, by the names of their classes."""

    weights: OpenWeights
    pipelines: dict[str, Loaded]
    device: torch.device

    @property
    def guidance(self) -> Guidance:
        """The scales that were chosen at the import: diffusers' own unless said otherwise."""
        return self.weights.guidance

    @property
    @abstractmethod
    def can_vary(self) -> bool:
        """Whether the folder came with what reads pictures."""

    @abstractmethod
    def from_prompts(self, prompts: Sequence[str], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """One batch of captions painted, float32 [B, H, W, 3] in [0, 1], in the pipeline's own size for `size`."""

    @abstractmethod
    def from_pictures(self, images: Sequence[Image.Image], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """One batch of RGB pictures varied, as in `from_prompts`."""

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One RGB picture of `size` square for each prompt; prompts longer than CLIP's 77 tokens are cut."""
        scales = guidance or self.guidance

        def paint(rows: slice, noise: list[torch.Generator]) -> Pixels:
            return self.from_prompts(prompts[rows], noise, size, scales)

        return self._painted(seeds, size, len(prompts), paint, progress)

    def variations(
        self,
        images: Sequence[Image.Image],
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        captions: Sequence[str] | None = None,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One other picture for each picture, from its CLIP embedding; these decoders read no captions beside it."""
        if not self.can_vary:
            raise UserError(
                "this model came without an image_encoder, so it cannot vary pictures; import it again with --variations FOLDER"
            )
        scales = guidance or self.guidance

        def paint(rows: slice, noise: list[torch.Generator]) -> Pixels:
            return self.from_pictures([image.convert("RGB") for image in images[rows]], noise, size, scales)

        return self._painted(seeds, size, len(images), paint, progress)

    def _painted(
        self,
        seeds: Sequence[int],
        size: int,
        num_pictures: int,
        paint: Callable[[slice, list[torch.Generator]], Pixels],
        progress: GenerationProgress | None,
    ) -> list[Image.Image]:
        """Pictures of `size` square, painted in batches."""
        if len(seeds) != num_pictures:
            raise UserError(f"There are {len(seeds)} seeds for {num_pictures} pictures; give one seed for each.")
        if not 1 <= size <= MAX_SIDE:
            raise UserError(f"size is {size}, but it must be between 1 and {MAX_SIDE}.")
        pictures: list[Image.Image] = []
        for start in range(0, num_pictures, BATCH):
            rows = slice(start, min(start + BATCH, num_pictures))
            walked = _walking(progress, start / num_pictures, (rows.stop - start) / num_pictures, self._num_steps())
            for pipeline in self.pipelines.values():
                pipeline.progress_bar = walked
            with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
                pixels = paint(rows, noise_of(seeds[rows]))
            # rounded as diffusers rounds
            pictures += resized([Image.fromarray(array) for array in (pixels * 255).round().astype(np.uint8)], size)
        if progress is not None:
            progress(STAGE, 1.0)
        return pictures

    def _num_steps(self) -> int:
        steps = self.weights.sampling
        return steps.prior + steps.decoder + steps.upsampler


class Karlo(DiffusersGenerator):
    """Karlo v1: pictures of 256 px in three stages of pixels, as in the paper. It varies pictures where its image encoder is there."""

    @property
    def can_vary(self) -> bool:
        """Whether the folder came with what reads pictures."""
        return "UnCLIPImageVariationPipeline" in self.pipelines

    def from_prompts(self, prompts: Sequence[str], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """float32 [B, 256, 256, 3] in [0, 1], whatever the size."""
        steps = self.weights.sampling
        return self.pipelines["UnCLIPPipeline"](
            list(prompts),
            generator=noise,
            prior_num_inference_steps=steps.prior,
            decoder_num_inference_steps=steps.decoder,
            super_res_num_inference_steps=steps.upsampler,
            prior_guidance_scale=scales.prior,
            decoder_guidance_scale=scales.decoder,
            output_type="np",
        ).images

    def from_pictures(self, images: Sequence[Image.Image], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """float32 [B, 256, 256, 3] in [0, 1], whatever the size."""
        return self.pipelines["UnCLIPImageVariationPipeline"](
            list(images),
            generator=noise,
            decoder_num_inference_steps=self.weights.sampling.decoder,
            super_res_num_inference_steps=self.weights.sampling.upsampler,
            decoder_guidance_scale=scales.decoder,
            output_type="np",
        ).images


class Kandinsky(DiffusersGenerator):
    """Kandinsky 2.2: the prior's embedding, then a decoder in the latent space of MoVQ, painted at 512 px or at the size asked for."""

    @property
    def can_vary(self) -> bool:
        """True: the prior brings an image encoder."""
        return True

    def from_prompts(self, prompts: Sequence[str], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """float32 [B, S, S, 3] in [0, 1], S at least `size`."""
        embedded = self.pipelines["KandinskyV22PriorPipeline"](
            list(prompts), generator=noise, num_inference_steps=self.weights.sampling.prior, guidance_scale=scales.prior
        )
        return self._decoded(embedded.image_embeds, embedded.negative_image_embeds, noise, size, scales.decoder)

    def from_pictures(self, images: Sequence[Image.Image], noise: list[torch.Generator], size: int, scales: Guidance) -> Pixels:
        """float32 [B, S, S, 3] in [0, 1], S at least `size`."""
        z_BD = self._embedded(images)
        zero_BD = self.pipelines["KandinskyV22PriorPipeline"].get_zero_embed(len(z_BD), device=self.device)
        return self._decoded(z_BD, zero_BD, noise, size, scales.decoder)

    def _embedded(self, images: Sequence[Image.Image]) -> Tensor:
        """Image embeddings [B, D], as the prior's pipeline takes them of pictures."""
        prior = self.pipelines["KandinskyV22PriorPipeline"]
        pixels = prior.image_processor(list(images), return_tensors="pt").pixel_values
        return prior.image_encoder(pixels.to(self.device)).image_embeds

    def _decoded(self, z_BD: Tensor, negative_BD: Tensor, noise: list[torch.Generator], size: int, scale: float) -> Pixels:
        """Pixels [B, S, S, 3] in [0, 1], painted no smaller than the decoder's own size."""
        decoder = self.pipelines["KandinskyV22Pipeline"]
        side = max(size, decoder.unet.config.sample_size * decoder.movq_scale_factor)
        return decoder(
            image_embeds=z_BD,
            negative_image_embeds=negative_BD,
            generator=noise,
            height=side,
            width=side,
            num_inference_steps=self.weights.sampling.decoder,
            guidance_scale=scale,
            output_type="np",
        ).images


def _walking(progress: GenerationProgress | None, done: float, share: float, num_steps: int) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """What takes the place of the pipelines' `progress_bar`, by which they walk over their timesteps: it tells their steps."""
    steps = count(1)

    def walked(timesteps: Iterable[Any]) -> Iterator[Any]:
        for timestep in timesteps:
            yield timestep
            if progress is not None:
                progress(STAGE, min(1.0, done + share * next(steps) / num_steps))

    return walked

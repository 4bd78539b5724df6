"""UnCLIP whole (Ramesh et al., 2022, figure 2): caption to CLIP embedding to small picture to large picture.

Sampling runs in float32 from per-picture noise (`seeds.py`): the same seed gives the same picture, alone or among others.
"""

# B pictures, D embedding, C three channels, H W sides

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from unclip_diffusion.samplers import Callback
from unclip_diffusion.sampling import sample
from unclip_generation.bundle import AnyUpsampler, Bundle, DiffusionModel, Guidance, read_bundle
from unclip_generation.generator import MAX_SIDE, GenerationProgress
from unclip_generation.pictures import to_pictures, to_pixels
from unclip_generation.seeds import PictureNoise
from unclip_models.config import CompactUpsamplerConfig
from unclip_models.text import Text
from unclip_pairs.errors import UserError


@dataclass(frozen=True)
class UnCLIP:
    """Generator of our own networks. `generate` paints from captions, `variations` from pictures, `reconstruct` from image embeddings."""

    bundle: Bundle
    device: torch.device
    batch_size: int = 16

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "UnCLIP":
        """The bundle in `folder` on this device. `UserError` when it is incomplete or broken."""
        return cls(read_bundle(folder, device), torch.device(device))

    @property
    def guidance(self) -> Guidance:
        """The bundle's own scales."""
        return self.bundle.guidance

    @property
    def can_vary(self) -> bool:
        """True: CLIP reads pictures."""
        return True

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        num_candidates: int = 2,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One RGB picture of `size` square per prompt. Of `num_candidates` embeddings the one nearest the text is painted (section 2.2)."""
        guidance = guidance or self.bundle.guidance
        pictures: list[Image.Image] = []
        for rows, report in self._batches(len(prompts), seeds, size, progress):
            text, batch_seeds = self.encode_texts(prompts[rows]), list(seeds[rows])
            z_BD = self.imagine(text, batch_seeds, guidance.prior, num_candidates, report)
            pictures += to_pictures(self._paint(z_BD, text, batch_seeds, size, guidance.decoder, report), size)
        return pictures

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
        """Other pictures of the same embedding: the picture's own CLIP embedding in place of the prior's. Captions as in `reconstruct`."""
        return self.reconstruct(self.encode_images(images), seeds, size, guidance, captions=captions, progress=progress)

    def reconstruct(
        self,
        z_ND: Tensor,
        seeds: Sequence[int],
        size: int = 256,
        guidance: Guidance | None = None,
        *,
        captions: Sequence[str] | None = None,
        progress: GenerationProgress | None = None,
    ) -> list[Image.Image]:
        """One RGB picture per unit-norm image embedding [N, D]; captions, where given, go to a decoder that reads text."""
        guidance = guidance or self.bundle.guidance
        pictures: list[Image.Image] = []
        for rows, report in self._batches(len(z_ND), seeds, size, progress):
            text = None if captions is None else self.encode_texts(captions[rows])
            z_BD = z_ND[rows].to(self.device, torch.float32)
            pictures += to_pictures(self._paint(z_BD, text, list(seeds[rows]), size, guidance.decoder, report), size)
        return pictures

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit-norm CLIP embeddings [B, D]."""
        return self.bundle.clip.encode_image(to_pixels(images, self.bundle.clip.config.image_size).to(self.device))

    @torch.no_grad()
    def encode_texts(self, prompts: Sequence[str]) -> Text:
        """The prompts as CLIP reads them."""
        return self.bundle.clip.encode_text(self.bundle.tokenizer.encode(prompts).to(self.device))

    def imagine(
        self, text: Text, seeds: Sequence[int], scale: float = 1.0, num_candidates: int = 2, report: "StageProgress | None" = None
    ) -> Tensor:
        """Unit-norm image embeddings [B, D] from the prior: for each text the best of `num_candidates`, by product with the text's own."""
        prior, many = self.bundle.prior, text.repeat(num_candidates)
        draws = [PictureNoise(seeds, f"prior {i}") for i in range(num_candidates)]
        noise = StackedNoise(draws)

        def model(z_BD: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
            return prior.network(z_BD, t_B, many.repeat(len(z_BD) // len(many)), keep_B)

        start = torch.cat([draw.draw(prior.network.config.embed_dim, device=self.device) for draw in draws])
        callback = report.steps("prior", sum(prior.diffusion.steps)) if report else None
        z_ND = prior.network.stats.restore(sample(prior.diffusion, model, start, guidance=scale, noise=noise, callback=callback))
        return nearest_candidates(torch.nn.functional.normalize(z_ND, dim=-1), text.embedding_BD)

    def _paint(self, z_BD: Tensor, text: Text | None, seeds: Sequence[int], size: int, scale: float, report: "StageProgress") -> Tensor:
        """Pixels [B, C, H, W] from the first stage that reaches `size`, or from the last."""
        pixels = self._decode(z_BD, text, seeds, scale, report)
        for number, stage in enumerate(self._upsamplers(size), start=1):
            pixels = self._upsample(
                stage,
                pixels,
                z_BD,
                PictureNoise(seeds, f"upsampler {number}"),
                report.steps(f"upsampler {number}", sum(stage.diffusion.steps)),
            )
        return pixels

    def _decode(self, z_BD: Tensor, text: Text | None, seeds: Sequence[int], scale: float, report: "StageProgress") -> Tensor:
        stage, noise = self.bundle.decoder, PictureNoise(seeds, "decoder")

        def model(x_BCHW: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
            times = len(x_BCHW) // len(z_BD)
            many = None if text is None else text.repeat(times)
            return stage.network(x_BCHW, t_B, z_BD.repeat(times, 1), many, keep_B, keep_B)

        side = stage.network.config.image_size
        callback = report.steps("decoder", sum(stage.diffusion.steps))
        start = noise.draw(3, side, side, device=self.device)
        return sample(stage.diffusion, model, start, guidance=scale, noise=noise, callback=callback).clamp(-1, 1)

    def _upsample(
        self, stage: DiffusionModel[AnyUpsampler], low_BChw: Tensor, z_BD: Tensor, noise: PictureNoise, callback: Callback | None
    ) -> Tensor:
        config = stage.network.config
        told = (z_BD,) if isinstance(config, CompactUpsamplerConfig) and config.embed_dim else ()

        def model(x_BCHW: Tensor, t_B: Tensor, keep_B: Tensor) -> Tensor:
            return stage.network(x_BCHW, t_B, low_BChw, *told)

        side = config.image_size
        start = noise.draw(3, side, side, device=self.device)
        return sample(stage.diffusion, model, start, noise=noise, callback=callback).clamp(-1, 1)

    def _upsamplers(self, size: int) -> list[DiffusionModel[AnyUpsampler]]:
        """The stages that a picture of `size` needs."""
        needed: list[DiffusionModel[AnyUpsampler]] = []
        side = self.bundle.decoder.network.config.image_size
        for stage in self.bundle.upsamplers:
            if side < size:
                needed.append(stage)
            side = stage.network.config.image_size
        return needed

    def _batches(
        self, count: int, seeds: Sequence[int], size: int, progress: GenerationProgress | None
    ) -> Iterator[tuple[slice, "StageProgress"]]:
        if len(seeds) != count:
            raise UserError(f"There are {len(seeds)} seeds for {count} pictures; give one seed for each.")
        if not 1 <= size <= MAX_SIDE:
            raise UserError(f"size is {size}, but it must be between 1 and {MAX_SIDE}.")
        starts = range(0, count, self.batch_size)
        for i, start in enumerate(starts):
            with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
                yield slice(start, start + self.batch_size), StageProgress(progress, i, len(starts), 2 + len(self._upsamplers(size)))


class StackedNoise:
    """Noise for several draws stacked one after the other."""

    def __init__(self, draws: Sequence[PictureNoise]) -> None:
        self.draws = draws

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([draw(rows) for draw, rows in zip(self.draws, x.chunk(len(self.draws)), strict=True)])


class StageProgress:
    """Turns the steps of the stages of one batch into fractions of the whole call."""

    def __init__(self, progress: GenerationProgress | None, batch: int, num_batches: int, num_stages: int) -> None:
        self.progress, self.batch, self.num_batches, self.num_stages = progress, batch, num_batches, num_stages

    def steps(self, stage: str, total: int) -> Callback | None:
        """A sampler's callback for this stage, or None when nobody listens."""
        progress = self.progress
        if progress is None:
            return None
        order = {"prior": 0, "decoder": 1}
        place = order[stage] if stage in order else 1 + int(stage.rsplit(" ", 1)[1])

        def callback(step: int, x_0: Tensor) -> None:
            within = (place + (step + 1) / total) / self.num_stages
            progress(stage, min(1.0, (self.batch + within) / self.num_batches))

        return callback


def nearest_candidates(z_ND: Tensor, text_BD: Tensor) -> Tensor:
    """Of N = k * B candidates, k for each of B texts (all first ones, then all second), the one nearest its text [B, D]."""
    candidates_KBD = z_ND.unflatten(0, (-1, len(text_BD)))
    best_B = (candidates_KBD * text_BD).sum(-1).argmax(0)
    return candidates_KBD[best_B, torch.arange(len(text_BD), device=z_ND.device)]

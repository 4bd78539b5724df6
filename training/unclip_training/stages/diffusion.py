"""What the diffusion stages share: times, noise, targets, and painting with the process they are trained for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from unclip_diffusion.config import Diffusion
from unclip_diffusion.guidance import Conditional
from unclip_diffusion.losses import min_snr_weight, prediction_loss, velocity_weight
from unclip_diffusion.predictions import target
from unclip_diffusion.sampling import sample
from unclip_diffusion.schedule import logit_normal_times, schedule_named, uniform_times
from unclip_models.text import Text
from unclip_training.config import DiffusionRun
from unclip_training.data.batches import Batch
from unclip_training.stages.base import Stage

SHOWN = 16

if TYPE_CHECKING:
    from unclip_models.clip import Clip


AnyDiffusionRun = TypeVar("AnyDiffusionRun", bound=DiffusionRun)


class DiffusionStage(Stage[AnyDiffusionRun]):
    """A denoiser and how it learns; `clip` is the frozen CLIP that reads captions where they are not read beforehand."""

    def __init__(self, run: AnyDiffusionRun, network: nn.Module, clip: "Clip | None" = None) -> None:
        super().__init__(run, network)
        self.schedule = schedule_named(run.diffusion.schedule)
        self._frozen = (clip,)  # in a tuple, so that it is neither trained nor saved with the stage
        self.shown: Batch | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As in `Stage`; the first pairs are remembered for the sample grid."""
        if self.shown is None:
            self.shown = {name: column[:SHOWN].clone() for name, column in batch.items()}
        return super().training_step(batch, batch_idx)

    def times(self, count: int) -> Tensor:
        """Training times [B] in [0, 1]."""
        run = self.run
        t_B = logit_normal_times(count, run.times_mean, run.times_std) if run.times == "logit_normal" else uniform_times(count)
        return t_B.to(self.device)

    def weight_at(self, t_B: Tensor) -> Tensor | None:
        """The loss's weight [B] at these times, or None where all weigh alike."""
        if self.run.weighting == "velocity":
            return velocity_weight(self.schedule.alpha_bar(t_B))
        if self.run.weighting != "min_snr":
            return None
        return min_snr_weight(self.run.diffusion.prediction, self.schedule.alpha_bar(t_B))

    def denoising_loss(self, x_0: Tensor, model: Callable[[Tensor, Tensor], Tensor], weight_B: Tensor | None) -> Tensor:
        """Mean squared error of what the run predicts, at random times; weighted by the pairs' own weights where they have them."""
        t_B, noise = self.times(len(x_0)), torch.randn_like(x_0)
        wanted = target(self.run.diffusion.prediction, x_0, noise, self.schedule.like(t_B, x_0))
        at_time_B = self.weight_at(t_B)
        if at_time_B is not None:
            weight_B = at_time_B if weight_B is None else weight_B * at_time_B
        return prediction_loss(model(self.schedule.q_sample(x_0, t_B, noise), t_B).float(), wanted, weight_B)

    def text(self, batch: Batch) -> Text:
        """The captions as CLIP reads them: from the batch where they were read beforehand, else by the frozen CLIP."""
        if "text_features" in batch:
            return Text(batch["tokens"], batch["clip_text"], batch["text_features"])
        (clip,) = self._frozen
        assert clip is not None
        with torch.no_grad():
            return clip.to(self.device).encode_text(batch["tokens"])

    def keep(self, count: int, drop: float) -> Tensor:
        """bool [B]: False where the condition is left out."""
        return torch.rand(count, device=self.device) >= drop

    def sample(self, model: Conditional, shape: tuple[int, ...]) -> Tensor:
        """x_0 of the given shape, sampled as the run's diffusion says, from fixed noise and without guidance."""
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        return sample(self.run.diffusion, model, noise)

    def final_diffusion(self) -> Diffusion:
        """The diffusion that travels with the weights."""
        return self.run.diffusion

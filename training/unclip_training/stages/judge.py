"""Judge's stage: the contrastive loss of CLIP on precomputed MobileNetV2 features."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unclip_training.config import JudgeRun
from unclip_training.data.batches import Batch
from unclip_training.judging.judge import Judge
from unclip_training.stages.base import Stage

LARGEST_SCALE = 4.6052  # ln(100), the bound of the CLIP paper


class JudgeStage(Stage[JudgeRun]):
    """The head of the picture tower and the text tower learn; MobileNetV2 stays as it is."""

    network: Judge

    def __init__(self, run: JudgeRun, network: Judge) -> None:
        super().__init__(run, network)

    def loss(self, batch: Batch) -> Tensor:
        """Symmetric cross-entropy over the batch (Radford et al., 2021, figure 3)."""
        scale = self.network.log_scale.clamp(max=LARGEST_SCALE).exp()
        logits = scale * self.network.pictures(batch["features"]) @ self.network.captions(batch["tokens"]).T
        target = torch.arange(len(logits), device=logits.device)
        return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2

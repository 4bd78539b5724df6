"""CLIP stage: open_clip's contrastive loss over all processes' batches."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unclip_training.config import ClipRun
from unclip_training.data.batches import Batch
from unclip_training.stages.base import Stage
from unclip_training.stages.pixels import to_pixels

if TYPE_CHECKING:  # open_clip takes seconds to import, and only this stage needs it
    from open_clip.loss import ClipLoss

    from unclip_models.clip import Clip


class ClipStage(Stage[ClipRun]):
    """Picture and text tower learn together (Radford et al., 2021)."""

    network: "Clip"

    def __init__(self, run: ClipRun, network: "Clip") -> None:
        super().__init__(run, network)
        self._contrast: ClipLoss | None = None

    def loss(self, batch: Batch) -> Tensor:
        """Symmetric cross-entropy; with several processes, each contrasts with the pairs of all."""
        from open_clip.loss import ClipLoss

        if self._contrast is None:
            world = self.trainer.world_size
            self._contrast = ClipLoss(local_loss=True, gather_with_grad=True, cache_labels=True, rank=self.global_rank, world_size=world)
        if "locked_image" in batch:
            text_BD = self.network.encode_text(batch["tokens"]).embedding_BD
            return self._contrast(batch["locked_image"], text_BD, self.network.scale())
        image_BD, text_BD, scale = self.network(to_pixels(batch["pictures"]), batch["tokens"])
        return self._contrast(image_BD, text_BD, scale)

    def validation_loss(self, batch: Batch) -> Tensor:
        """The same over this batch alone, whatever other processes do."""
        image_BD, text_BD, scale = self.network(to_pixels(batch["pictures"]), batch["tokens"])
        logits, target = scale * image_BD @ text_BD.T, torch.arange(len(image_BD), device=self.device)
        return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2

"""Run: everything one training needs, as data, with the network's own config inside."""

import json
from dataclasses import dataclass, field
from typing import Literal

from unclip_diffusion.config import Diffusion
from unclip_models.config import STORED, AnyDecoderConfig, AnyUpsamplerConfig, ClipConfig, CompactUpsamplerConfig, PriorConfig, as_stored
from unclip_pairs.json_value import JsonValue
from unclip_training.data.variation import Variation
from unclip_training.judging.judge import JudgeConfig
from unclip_training.optim import Optim
from unclip_training.precision import Precision

StageName = Literal["clip", "judge", "prior", "decoder", "upsampler_256", "upsampler_1024"]
Times = Literal["uniform", "logit_normal"]
Weighting = Literal["plain", "min_snr", "detail", "velocity"]
Degradation = Literal["blur", "bsr"]
VALIDATIONS = 10
VALIDATION_SHARE = 0.02  # of the training's time
FEWEST_VALIDATED, MOST_VALIDATED = 16, 256


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every stage's run has. `batch_size` counts the pairs of all processes together; `side` is the pictures' side in pixels.

    The validation loss is measured every `validate_every` steps
    (None: ten times) on so many pairs (None: as many as cost about 2 % of the training, at most 256); with `keep_best`, the weights that
    are saved are those with the lowest one, in place of the last. While learning, each word of a caption is left out with probability
    `drop_words`, a picture is moved by up to `shift` pixels each way, and with `flip` mirrored in half of the cases, unless its caption
    says left or right; the network is not told. `views` copies of each picture, mirrored, moved and scaled, are learned from beside it,
    each with a CLIP embedding of its own, where the set fits into memory. With `compiled`, the U-Net is compiled where there is a GPU.
    """

    recipe: str
    stage: StageName
    steps: int
    batch_size: int
    optim: Optim
    side: int
    precision: Precision = "auto"
    channels_last: bool = False
    sample_every: int = 500
    validate_every: int | None = None
    validation_pairs: int | None = None
    keep_best: bool = False
    drop_words: float = 0.0
    shift: int = 0
    flip: bool = False
    views: int = 0
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; a training takes at least 1 step")
        if min(self.batch_size, self.sample_every, self.validation_interval, self.num_validated) < 1:
            raise ValueError("batch_size, sample_every, validate_every and validation_pairs must be at least 1")
        if not 0 <= self.drop_words < 1 or not 0 <= self.shift < self.side:
            raise ValueError(f"drop_words {self.drop_words} must lie in [0, 1), and shift {self.shift} between 0 and the side {self.side}")
        if self.stage in ("judge", "prior") and (self.shift or self.flip):
            raise ValueError(f"the {self.stage} reads no pictures; leave shift and flip out")
        if self.views < 0 or (self.views > 0 and (self.stage == "prior" or not self.needs_clip)):
            raise ValueError(f"views is {self.views}; only a decoder or an upsampler that is told the embedding learns from views")

    @property
    def variation(self) -> Variation:
        """How a pair is varied while it is learned."""
        return Variation(drop_words=self.drop_words, shift=self.shift, flip=self.flip)

    @property
    def validation_interval(self) -> int:
        """Steps from one validation to the next."""
        return max(1, self.steps // VALIDATIONS) if self.validate_every is None else self.validate_every

    @property
    def num_validated(self) -> int:
        """The pairs of each validation, at most. A pair costs a third of what it costs in training, where the gradient comes on top."""
        if self.validation_pairs is not None:
            return self.validation_pairs
        affordable = int(VALIDATION_SHARE * 3 * self.batch_size * self.validation_interval)
        return min(MOST_VALIDATED, max(affordable, min(self.batch_size, FEWEST_VALIDATED)))

    @property
    def needs_clip(self) -> bool:
        """Whether the stage is conditioned on a trained CLIP."""
        return False

    def settings(self) -> dict[str, JsonValue]:
        """The run as plain data, as manifests and checkpoints keep it."""
        return json.loads(json.dumps(as_stored(self)))


@dataclass(frozen=True, kw_only=True)
class ClipRun(Run):
    """CLIP, with the vocabulary its tokenizer is trained to."""

    model: ClipConfig


@dataclass(frozen=True, kw_only=True)
class JudgeRun(Run):
    """The evaluation's own picture-text judge."""

    model: JudgeConfig


@dataclass(frozen=True, kw_only=True)
class DiffusionRun(Run):
    """What the three kinds of diffusion stages share: process and prediction, and how training times are drawn and weighted.

    `times_mean` and `times_std` belong to logit-normal times: a mean below zero favours little noise. The weighting `velocity` makes
    an x_0 loss that of v. The weighting `detail` is
    1 / c_out^2 of the compact decoder's preconditioning: errors of its U-Net's output count alike at all times (Karras et al., 2022).
    """

    diffusion: Diffusion
    times: Times = "uniform"
    times_mean: float = 0.0
    times_std: float = 1.0
    weighting: Weighting = "plain"


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """How a regressor is trained before the network around it (`pretraining.py`): `ratio` steps for each of the network's own.

    `noise` is added to the prior's standardised text embeddings, so that other words for the same thing are forgiven.
    """

    ratio: float
    batch_size: int
    lr: float
    warmup: int = 30
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PriorRun(DiffusionRun):
    """The diffusion prior. `drop_text` is the share of captions left out, for guidance.

    With `fit_stats`, the embeddings' mean and spread are measured before training; else the paper's constants hold. With `analytic`, the
    sampler of the finished prior is Analytic-DPM, whose noise power is measured after training. `pretraining` is wanted where the model has
    a regressor; manifests know it as `guessing`.
    """

    model: PriorConfig
    drop_text: float = 0.1
    fit_stats: bool = True
    analytic: bool = False
    pretraining: Pretraining | None = field(default=None, metadata={STORED: "guessing"})

    @property
    def needs_clip(self) -> bool:
        """It is."""
        return True


@dataclass(frozen=True, kw_only=True)
class DecoderRun(DiffusionRun):
    """The decoder; its conditions are left out in these shares, for guidance.

    `embedding_noise` is added to the standardised embedding while learning, so that the prior's errors are forgiven; `pretraining` is
    wanted where the model has a regressor; manifests know it as `sketching`.
    """

    model: AnyDecoderConfig
    drop_embedding: float = 0.1
    drop_text: float = 0.5
    fit_stats: bool = True
    embedding_noise: float = 0.0
    pretraining: Pretraining | None = field(default=None, metadata={STORED: "sketching"})

    @property
    def needs_clip(self) -> bool:
        """It is."""
        return True


@dataclass(frozen=True, kw_only=True)
class UpsamplerRun(DiffusionRun):
    """An upsampler, trained on crops of `crop` pixels; the small picture it is given is degraded in `degraded_share` of the cases.

    Smooth noise of a deviation up to `conditioning_noise` is then added to it, so that it learns to forgive the decoder's stains (noise
    conditioning augmentation, Ho et al., 2021, Cascaded Diffusion Models, section 4).
    """

    model: AnyUpsamplerConfig
    crop: int
    degradation: Degradation
    degraded_share: float = 0.5
    conditioning_noise: float = 0.0
    drop_embedding: float = 0.1

    @property
    def needs_clip(self) -> bool:
        """Only a compact upsampler may be told the embedding."""
        return isinstance(self.model, CompactUpsamplerConfig) and self.model.embed_dim > 0

    def __post_init__(self) -> None:
        super().__post_init__()
        factor, rest = divmod(self.side, self.model.low_size)
        if rest or self.crop % factor or not 0 < self.crop <= self.side:
            raise ValueError(f"crop {self.crop} and side {self.side} must be multiples of side / low_size, and crop at most side")


AnyRun = ClipRun | JudgeRun | PriorRun | DecoderRun | UpsamplerRun

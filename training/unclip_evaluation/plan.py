"""Plan of an evaluation: what is painted and measured, and by which judge."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from unclip_evaluation.probes.probes import ProbePlan
from unclip_generation.bundle import Guidance
from unclip_pairs.json_value import JsonValue
from unclip_training.judging.mobilenet import SIDE


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """How much is painted. `judge` is a run folder; `prompts` is a file of one's own in place of the version's prompts.json.

    At most `num_prompts` training captions and as many prompts in own words, `num_composed` of each other set, and `num_diverse` prompts
    with `seeds_per_prompt` seeds each. `guidance` is the decoder's scale, by default the bundle's own.
    """

    judge: str
    num_prompts: int = 200
    num_composed: int = 100
    num_diverse: int = 24
    seeds_per_prompt: int = 4
    prompts: Path | None = None
    sheet_cards: int = 16
    sweep_prompts: int = 6
    sweep_scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)
    guidance: float | None = None
    seed: int = 0
    probes: ProbePlan = field(default_factory=ProbePlan)

    @property
    def guidance_scales(self) -> Guidance | None:
        """What the generator is given; None for the bundle's own."""
        return None if self.guidance is None else Guidance(decoder=self.guidance)

    def settings(self) -> dict[str, JsonValue]:
        """What of it makes another evaluation; the prompts' content is an input."""
        return asdict(replace(self, prompts=None)) | {"sweep_scales": list(self.sweep_scales), "side": SIDE}

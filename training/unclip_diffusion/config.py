"""What a trained network's numbers mean: schedule, parameterisation and how to sample. It travels in the weights file."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from unclip_pairs.errors import UserError

Prediction = Literal["eps", "x0", "v"]
SamplerName = Literal["ddim", "ddpm", "ddpm_learned", "dpm", "analytic"]
ScheduleName = Literal["cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """`steps` as `sampling_times` takes them, `clip` bounds the predicted x_0, `noise_power` is what the analytic sampler measured."""

    schedule: ScheduleName
    prediction: Prediction
    sampler: SamplerName
    steps: tuple[int, ...]
    eta: float = 0.0
    clip: float | None = 1.0
    noise_power: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for field, choices in (("schedule", ScheduleName), ("prediction", Prediction), ("sampler", SamplerName)):
            if getattr(self, field) not in get_args(choices):
                raise UserError(f"{field} is {getattr(self, field)!r}, but it must be one of {', '.join(get_args(choices))}.")
        if not self.steps or min(self.steps) < 1:
            raise UserError(f"steps is {self.steps}, but every count must be at least 1.")
        if self.sampler == "analytic" and len(self.noise_power) != sum(self.steps):
            raise UserError(
                f"noise_power has {len(self.noise_power)} values, but the analytic sampler needs one per step, {sum(self.steps)}."
            )

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Diffusion":
        """What `to_json` wrote. `UserError` when it is broken or of another version."""
        try:
            value: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(text).items()}
            return cls(**value)
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            names = ", ".join(field.name for field in fields(cls))
            raise UserError(f"The diffusion settings in a weights file cannot be read ({error}); they must hold {names}.") from error

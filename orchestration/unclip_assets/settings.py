"""Settings that the environment gives; nothing else on this shelf reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from unclip_pairs.errors import UserError
from unclip_pairs.home import home_folder
from unclip_safety.policy import PolicyFiles

Deployment = Literal["local", "staging", "production"]
Size = Literal["tiny", "small", "paper"]
EngineName = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where the platform runs: read once, then handed on."""

    deployment: Deployment
    home: Path
    """The store's root; everything the platform makes lies under it. When UNCLIP_HOME names a bucket, the folder that caches it."""
    tracking_uri: str
    """Where MLflow keeps runs and models."""
    size: Size
    """Which recipe of each stage is trained."""
    engine: EngineName = "local"
    """Where scorers run."""
    ray_address: str = "local"
    """The Ray cluster of the engine ray: host:port of its head, auto, or local for one started when it is needed."""
    safety_policy: Path | None = None
    """The file of what may not be asked for; None is the one of the package."""
    curation_policy: Path | None = None
    """The file of what may be learned from, and may leave; None is the one of the package."""
    gate_policy: Path | None = None
    """The file of the gates' thresholds; None is the defaults at a release, and those kept with the version at a promotion."""

    @property
    def policies(self) -> PolicyFiles:
        """The policies that judge what is asked for and what is generated."""
        return PolicyFiles(safety=self.safety_policy, curation=self.curation_policy)


def default_tracking_uri(home: Path) -> str:
    """MLflow on SQLite inside the home."""
    return f"sqlite:///{(home / 'mlflow' / 'mlflow.db').resolve()}"


def chosen(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` when it is allowed; `UserError` when it is not."""
    if value not in allowed:
        raise UserError(f"{name} is {value!r}; set it to one of {', '.join(allowed)}")
    return value


def named_file(path: str | None) -> Path | None:
    """The absolute path of a file that a variable names, None when it is unset or empty."""
    return Path(path).expanduser().absolute() if path else None


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """UNCLIP_ENV, UNCLIP_HOME, UNCLIP_SIZE, UNCLIP_ENGINE, UNCLIP_RAY_ADDRESS, UNCLIP_SAFETY_POLICY,
    UNCLIP_CURATION_POLICY, UNCLIP_GATE_POLICY and MLFLOW_TRACKING_URI.

    Unset and empty ones mean the default. `UserError` on an unknown value.
    """
    values = os.environ if variables is None else variables
    home = home_folder(values.get("UNCLIP_HOME") or "var")
    deployment = chosen("UNCLIP_ENV", values.get("UNCLIP_ENV") or "local", get_args(Deployment))
    size = chosen("UNCLIP_SIZE", values.get("UNCLIP_SIZE") or ("paper" if deployment == "production" else "tiny"), get_args(Size))
    tracking = values.get("MLFLOW_TRACKING_URI") or default_tracking_uri(home)
    engine = chosen("UNCLIP_ENGINE", values.get("UNCLIP_ENGINE") or "local", get_args(EngineName))
    return Environment(
        deployment=cast(Deployment, deployment),
        home=home,
        tracking_uri=tracking,
        size=cast(Size, size),
        engine=cast(EngineName, engine),
        ray_address=values.get("UNCLIP_RAY_ADDRESS") or "local",
        safety_policy=named_file(values.get("UNCLIP_SAFETY_POLICY")),
        curation_policy=named_file(values.get("UNCLIP_CURATION_POLICY")),
        gate_policy=named_file(values.get("UNCLIP_GATE_POLICY")),
    )

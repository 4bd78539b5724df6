"""Resources: one dict per deployment, built from the environment that was read once."""

from pathlib import Path
from typing import Any

import dagster as dg

from unclip_assets.settings import Environment
from unclip_assets.timing import SilentListener, Timer, TimingListener
from unclip_assets.trainer import Trainer
from unclip_curation.engines.processes import Engine
from unclip_curation.engines.ray import open_engine
from unclip_pairs.home import open_store
from unclip_pairs.store import Store


class Home(dg.ConfigurableResource[Any]):
    """Where everything lies, and where MLflow keeps its runs and models."""

    root: str
    tracking_uri: str
    engine_name: str = "local"
    ray_address: str = "local"
    safety_policy: str | None = None

    def store(self) -> Store:
        """The store at the home; created when missing."""
        return open_store(self.root)

    def policy_file(self) -> Path | None:
        """The safety policy's file; None is the one of the package."""
        return Path(self.safety_policy) if self.safety_policy else None

    def engine(self) -> Engine:
        """Where scorers run."""
        return open_engine(self.engine_name, ray_address=self.ray_address)


def resources_for(environment: Environment, listener: TimingListener | None = None) -> dict[str, Any]:
    """What the assets ask for, by name. The deployments differ in the environment only; assets never know which one they run in."""
    return {
        "home": Home(
            root=str(environment.home),
            tracking_uri=environment.tracking_uri,
            engine_name=environment.engine,
            ray_address=environment.ray_address,
            safety_policy=str(environment.safety_policy) if environment.safety_policy else None,
        ),
        "trainer": Trainer(size=environment.size, tracking_uri=environment.tracking_uri),
        "pipes": dg.PipesSubprocessClient(),
        "timer": Timer(listener or SilentListener()),
    }

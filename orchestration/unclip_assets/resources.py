"""Resources: one dict per deployment, built from the environment that was read once."""

from pathlib import Path

import dagster as dg

from unclip_assets.reporting.timing import SilentListener, Timer, TimingListener
from unclip_assets.settings import Environment
from unclip_assets.trainings.trainer import Trainer
from unclip_curation.engines.processes import Engine
from unclip_curation.engines.ray import open_engine
from unclip_curation.policy import Policy, load_policy
from unclip_pairs.home import open_store
from unclip_pairs.store import Store
from unclip_release.gate_file import load_gate_policy
from unclip_release.gates import GatePolicy
from unclip_safety.policy import PolicyFiles
from unclip_safety.policy import load_policy as load_safety


class Home(dg.ConfigurableResource["Home"]):
    """Where everything lies, and where MLflow keeps its runs and models."""

    root: str
    tracking_uri: str
    engine_name: str = "local"
    ray_address: str = "local"
    safety_policy: str | None = None

    def store(self) -> Store:
        """The store at the home; created when missing."""
        return open_store(self.root)

    def safety_file(self) -> Path | None:
        """The safety policy's file; None is the one of the package."""
        return Path(self.safety_policy) if self.safety_policy else None

    def engine(self) -> Engine:
        """Where scorers run."""
        return open_engine(self.engine_name, ray_address=self.ray_address)


class CurationPolicy(dg.ConfigurableResource["CurationPolicy"]):
    """What may be learned from: the policy of a file, or the shipped one when `path` is empty. Every asset that decides asks this one."""

    path: str = ""

    def load(self) -> Policy:
        """The policy; `UserError` when the file cannot be read or is no policy."""
        return load_policy(self.file())

    def file(self) -> Path | None:
        """The policy's file; None is the one of the package."""
        return Path(self.path) if self.path else None

    def metadata(self) -> dict[str, str]:
        """Name, version and path of the policy, as an asset shows them."""
        name = self.path and Path(self.path).stem
        return {"policy": name or "default", "policy_version": self.load().version, "policy_path": self.path or "shipped with the package"}


class GateThresholds(dg.ConfigurableResource["GateThresholds"]):
    """What a candidate must reach: the thresholds of a gates file, or the defaults when `path` is empty."""

    path: str = ""

    def load(self) -> GatePolicy:
        """The thresholds; `UserError` when the file cannot be read or is no gates file."""
        return load_gate_policy(Path(self.path) if self.path else None)


def policy_files(home: Home, policy: CurationPolicy) -> PolicyFiles:
    """The files of the policies that judge generated pictures."""
    return PolicyFiles(safety=home.safety_file(), curation=policy.file())


def check_files(environment: Environment) -> None:
    """`UserError` when a policy file or the gates file that the environment names is missing or wrong; asked before a run."""
    load_policy(environment.curation_policy)
    load_safety(environment.safety_policy)
    load_gate_policy(environment.gate_policy)


def resources_for(environment: Environment, listener: TimingListener | None = None) -> dict[str, object]:
    """What the assets ask for, by name. The deployments differ in the environment only; assets never know which one they run in."""
    return {
        "home": Home(
            root=str(environment.home),
            tracking_uri=environment.tracking_uri,
            engine_name=environment.engine,
            ray_address=environment.ray_address,
            safety_policy=str(environment.safety_policy) if environment.safety_policy else None,
        ),
        "policy": CurationPolicy(path=str(environment.curation_policy or "")),
        "gates": GateThresholds(path=str(environment.gate_policy or "")),
        "trainer": Trainer(size=environment.size, tracking_uri=environment.tracking_uri),
        "pipes": dg.PipesSubprocessClient(),
        "timer": Timer(listener or SilentListener()),
    }

"""Registry: the only place of the deploy shelf that speaks MLflow. Promotion moves an alias, and only through the gates.

MLflow is imported inside the functions: its import takes seconds, and most who import this room need none of it.
"""

import contextlib
import json
import logging
import shutil
import socket
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import Manifest, now
from unclip_pairs.store import Store
from unclip_release.bundle import bundle_folder, verify
from unclip_release.gates import PASSED, GatePolicy, Metrics, numbers, results
from unclip_release.model_version import MODEL, ModelVersion, model_version, read_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

EXPERIMENT = "unclip-release"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
IMPORTED = ("family", "licence", "training_data", "imported_from")  # what only a model that was trained elsewhere has
LONGEST_TAG = 4000  # MLflow servers up to 2.x refuse longer values


def default_tracking_uri(store: Store) -> str:
    """The SQLite database of the store, as MLflow wants it named."""
    return f"sqlite:///{store.local_path('mlflow/mlflow.db').resolve()}"


def open_registry(store: Store, tracking_uri: str | None = None) -> "Registry":
    """The registry of the store, or of the MLflow server at `tracking_uri`; nothing is opened before it is needed."""
    return Registry(store, tracking_uri or default_tracking_uri(store))


@contextlib.contextmanager
def _explained(tracking_uri: str) -> Iterator[None]:
    """Turns a server that does not answer, or answers no, into a sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        message = str(error).strip().splitlines()[0][:300]
        raise UserError(
            f"the MLflow registry at {tracking_uri} refused or did not answer ({message}); check MLFLOW_TRACKING_URI and that server"
        ) from error


def _probe(tracking_uri: str) -> None:
    """`UserError` when nobody listens there: MLflow's own client would try for minutes."""
    parts = urlparse(tracking_uri)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=5):
            return
    except OSError as error:
        raise UserError(f"no MLflow server answers at {tracking_uri} ({error}); start it, or correct MLFLOW_TRACKING_URI") from error


@dataclass(frozen=True)
class Registry:
    """Versions of the model `unclip` and their aliases, at one MLflow tracking address."""

    store: Store
    tracking_uri: str

    @property
    def is_embedded(self) -> bool:
        """Whether the registry is a database on this machine, so that bundles are named in place and not uploaded."""
        return "://" in self.tracking_uri and not self.tracking_uri.startswith(("http://", "https://"))

    @contextlib.contextmanager
    def client(self) -> Iterator["MlflowClient"]:
        """MLflow's client at this address; what goes wrong there becomes a `UserError`."""
        with warnings.catch_warnings():
            # third parties warn of their own future while MLflow is imported
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient

            if self.is_embedded:
                self.store.local_path("mlflow/artifacts").mkdir(parents=True, exist_ok=True)
            else:
                _probe(self.tracking_uri)
            for chatty in ("mlflow.store.db.utils", "alembic"):
                logging.getLogger(chatty).setLevel(logging.WARNING)
            with _explained(self.tracking_uri):
                yield MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first."""
        if (known := read_versions(self.tracking_uri)) is not None:
            return known
        with self.client() as client:
            return _versions(client)

    def register(
        self, bundle: Manifest, evaluation: Metrics, policy: GatePolicy | None = None, attachments: tuple[Path, ...] = ()
    ) -> ModelVersion:
        """The bundle as a version that holds the alias `candidate`, judged by the gates: each result is a tag `gate.<name>`.

        A registered bundle keeps its version and is judged afresh. `attachments` (evaluation pictures) go to its MLflow run.
        """
        verify(self.store.folder(bundle_folder(bundle)))
        with self.client() as client:
            ensure_model(client)
            known = next((version for version in _versions(client) if version.digest == bundle.digest), None)
            number = known.version if known else self._create(client, bundle, evaluation, attachments)
            judged = {f"metric.{name}": repr(value) for name, value in numbers(evaluation).items()}
            _set_tags(client, number, judged | _policy_tag(policy or GatePolicy()))
            self._judge(client, number)
            client.set_registered_model_alias(MODEL, CANDIDATE, number)
            return _version(client, number)

    def _create(self, client: "MlflowClient", bundle: Manifest, evaluation: Metrics, attachments: tuple[Path, ...]) -> str:
        folder = self.store.folder(bundle_folder(bundle)).resolve()
        tags = _bundle_tags(bundle)
        run_id = self.log_run(client, f"release {bundle.settings['bundle']}", tags, numbers(evaluation), attachments)
        source = folder.as_uri()
        if not self.is_embedded:
            client.log_artifacts(run_id, str(folder), "bundle")
            source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
        client.set_terminated(run_id)
        return str(client.create_model_version(MODEL, source=source, run_id=run_id, tags=tags).version)

    def log_run(
        self, client: "MlflowClient", name: str, tags: Mapping[str, str], figures: Mapping[str, float], attachments: tuple[Path, ...]
    ) -> str:
        """The id of a run that shows an evaluation in MLflow's own pages: figures as metrics, pictures as artifacts."""
        from mlflow.entities import Metric

        run = client.create_run(self._experiment(client), run_name=name, tags=dict(tags))
        run_id = str(run.info.run_id)
        at = round(1000 * time.time())
        client.log_batch(run_id, metrics=[Metric(figure, value, at, 0) for figure, value in figures.items()])
        for path in attachments:
            client.log_artifact(run_id, str(path), "evaluation")
        return run_id

    def _experiment(self, client: "MlflowClient") -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        location = self.store.local_path("mlflow/artifacts").resolve().as_uri() if self.is_embedded else None
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _judge(self, client: "MlflowClient", number: str) -> list[str]:
        """Judges a version against the present champion and writes each gate's result as a tag; gives the objections."""
        version, champion = _version(client, number), _by_alias(client, CHAMPION)
        rival = champion.evaluation if champion is not None and champion.version != number else None
        policy = GatePolicy(**json.loads(version.tags["gate_policy"]))
        found = results(version.evaluation, rival, policy)
        refused = [value for value in found.values() if value != PASSED]
        tags = {f"gate.{name}": value[:LONGEST_TAG] for name, value in found.items()}
        _set_tags(client, number, tags | {"gates": "refused" if refused else PASSED})
        return refused

    def promote(self, which: str = CANDIDATE, policy: GatePolicy | None = None) -> ModelVersion:
        """Makes a version (its number, or an alias) champion and remembers the last champion as `previous`; gives the new champion.

        A `policy` takes the place of the thresholds that the version was registered with, and is kept with it. `UserError` with the
        objections when a gate refuses it: there is no way around the gates. A version that was rolled back comes back by its number
        only, so that no schedule brings it back.
        """
        with self.client() as client:
            version, champion = self._find(client, which), _by_alias(client, CHAMPION)
            if champion is not None and champion.version == version.version:
                return champion
            _set_tags(client, version.version, _policy_tag(policy) if policy is not None else {})
            if refused := self._judge(client, version.version):
                raise UserError(f"{version.label} may not become champion: {'; '.join(refused)}; train or curate anew and release that")
            if which == CANDIDATE and "rolled_back" in version.tags:
                raise UserError(
                    f"{version.label} was rolled back at {version.tags['rolled_back']}; to promote it again, name {version.version}"
                )
            _crown(client, version, champion)
            return _version(client, version.version)

    def _find(self, client: "MlflowClient", which: str) -> ModelVersion:
        found = _by_alias(client, which) if not which.isdigit() else next((v for v in _versions(client) if v.version == which), None)
        if found is None:
            known = ", ".join(v.version for v in _versions(client)) or "none"
            raise UserError(
                f"the registry has no version or alias {which!r} of {MODEL!r} (versions: {known}); run `unclip model release` first"
            )
        return found

    def rollback(self) -> ModelVersion:
        """Makes the previous champion champion again and gives it; the one that was taken down is marked `rolled_back`.

        `UserError` when there is no previous champion.
        """
        with self.client() as client:
            champion, previous = _by_alias(client, CHAMPION), _by_alias(client, PREVIOUS)
            if champion is None or previous is None:
                raise UserError(f"there is no previous champion of {MODEL!r} to go back to; promote another version instead")
            client.set_registered_model_alias(MODEL, CHAMPION, previous.version)
            client.set_model_version_tag(MODEL, champion.version, "rolled_back", now())
            earlier = previous.tags.get("predecessor", "")
            if earlier in {version.version for version in _versions(client)}:
                client.set_registered_model_alias(MODEL, PREVIOUS, earlier)
            else:
                client.delete_registered_model_alias(MODEL, PREVIOUS)
            return _version(client, previous.version)

    def champion(self) -> tuple[ModelVersion, Path]:
        """`models:/unclip@champion` and the folder of its bundle on this machine, fetched when it is not here and checked file by file.

        `UserError` when no version is champion yet, or its bundle is missing or damaged.
        """
        if (known := read_versions(self.tracking_uri)) is not None:
            return self._located(next((version for version in known if CHAMPION in version.aliases), None))
        with self.client() as client:
            return self._located(_by_alias(client, CHAMPION))

    def _located(self, version: ModelVersion | None) -> tuple[ModelVersion, Path]:
        if version is None:
            raise UserError(
                f"the registry at {self.tracking_uri} has no champion; run `unclip demo`, or `unclip model promote` a candidate, first"
            )
        return version, self._local(version)

    def _local(self, version: ModelVersion) -> Path:
        """The bundle's folder: in the store, or where the version says, or fetched from the server into the store."""
        named = Path(url2pathname(urlparse(version.source).path)) if version.source.startswith("file:") else None
        for folder in (self.store.folder(version.bundle), named):
            if folder is not None and (folder / "manifest.json").exists():
                break
        else:
            folder = self._fetch(version)
        if verify(folder).digest != version.digest:
            raise UserError(f"{folder} is not the bundle of {version.label}; move it aside and run the same command again")
        return folder

    def _fetch(self, version: ModelVersion) -> Path:
        if self.is_embedded:
            raise UserError(f"the bundle of {version.label} is gone from {self.store.path(version.bundle)}; put it back, or release again")
        from mlflow.artifacts import download_artifacts

        target, part = self.store.local_path(version.bundle), self.store.local_path(f"{version.bundle}.fetching")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        got = download_artifacts(artifact_uri=version.source, dst_path=str(part), tracking_uri=self.tracking_uri)
        Path(got).rename(target)
        shutil.rmtree(part, ignore_errors=True)
        return target


def _policy_tag(policy: GatePolicy) -> dict[str, str]:
    """The thresholds as they are kept with a version."""
    return {"gate_policy": json.dumps(asdict(policy), sort_keys=True)}


def _bundle_tags(bundle: Manifest) -> dict[str, str]:
    origin = {name: str(bundle.settings.get(name, "")) for name in ("dataset", "dataset_version", "policy_version")}
    stages = {f"stage.{name}": digest for name, digest in bundle.inputs.items() if name != "dataset"}
    imported = {name: str(bundle.settings[name]) for name in IMPORTED if name in bundle.settings}
    return {"manifest_digest": bundle.digest, "bundle": bundle_folder(bundle), **origin, **stages, **imported}


def ensure_model(
    client: "MlflowClient", name: str = MODEL, description: str = "unCLIP: CLIP, prior, decoder and two upsamplers in one bundle"
) -> None:
    """Makes the registered model unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _set_tags(client: "MlflowClient", number: str, tags: Mapping[str, str]) -> None:
    """Writes the tags that are not so already: each is a call to the server."""
    present = client.get_model_version(MODEL, number).tags
    for name, value in tags.items():
        if present.get(name) != value:
            client.set_model_version_tag(MODEL, number, name, value)


def _from_mlflow(found: "MlflowVersion", aliases: Iterable[str]) -> ModelVersion:
    tags = {str(name): str(value) for name, value in found.tags.items()}
    return model_version(str(found.version), str(found.source), tags, aliases)


def _version(client: "MlflowClient", number: str) -> ModelVersion:
    found = client.get_model_version(MODEL, number)
    return _from_mlflow(found, found.aliases)


def _versions(client: "MlflowClient") -> list[ModelVersion]:
    found = sorted(client.search_model_versions(f"name = '{MODEL}'"), key=lambda version: -int(version.version))
    # the search leaves the aliases out
    aliases = client.get_registered_model(MODEL).aliases if found else {}
    return [_from_mlflow(version, [alias for alias, number in aliases.items() if str(number) == str(version.version)]) for version in found]


def _by_alias(client: "MlflowClient", alias: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return _version(client, str(client.get_model_version_by_alias(MODEL, alias).version))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _crown(client: "MlflowClient", version: ModelVersion, champion: ModelVersion | None) -> None:
    """Moves the aliases. `champion` moves first: a kill in between leaves an old `previous`, never a missing champion."""
    client.set_model_version_tag(MODEL, version.version, "promoted", now())
    client.set_model_version_tag(MODEL, version.version, "predecessor", champion.version if champion else "")
    if "rolled_back" in version.tags:
        client.delete_model_version_tag(MODEL, version.version, "rolled_back")
    client.set_registered_model_alias(MODEL, CHAMPION, version.version)
    if champion is not None:
        client.set_registered_model_alias(MODEL, PREVIOUS, champion.version)
    candidate = _by_alias(client, CANDIDATE)
    if candidate is not None and candidate.version == version.version:
        client.delete_registered_model_alias(MODEL, CANDIDATE)

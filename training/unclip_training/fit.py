"""One training from start to manifest: what is done is left alone, what was begun is resumed."""

import logging
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_only

from unclip_pairs.errors import UserError
from unclip_pairs.json_value import JsonValue
from unclip_pairs.manifest import Manifest, file_digest, make_manifest, read_manifest, write_manifest
from unclip_pairs.store import Store
from unclip_training.assembly import Assembly, TrainingSite, assemble
from unclip_training.beginning import Beginning, find_beginning
from unclip_training.callbacks import Curves, SampleGrids, SeededSteps
from unclip_training.checkpoints import Checkpoints, read_checkpoint
from unclip_training.config import AnyRun
from unclip_training.data.batches import Sources
from unclip_training.data.pair_source import PairSource, pairs_source, validation_source
from unclip_training.metrics import CURVES_FILE, write_metrics
from unclip_training.precision import chosen, compile_inner, training_device
from unclip_training.progress import progress_callback, say
from unclip_training.tracking import RunCard, Tracker
from unclip_training.validation import Validation

IDENTIFIERS = ("dagster_run_id", "mlflow_run_id")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One launch of a run: on which data, under which name, beside which CLIP, from which weights (None: random ones).

    Names are relative to the store; `begin_from` may be any folder.
    """

    dataset: str
    name: str
    clip: str | None = None
    begin_from: str | None = None
    steps: int | None = None
    seed: int | None = None
    processes: int = 1
    nodes: int = 1
    dagster_run_id: str = ""
    track: bool = True
    tracking_uri: str | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A launch made whole: the run with its overrides, its data, its folder and what identifies the result."""

    run: AnyRun
    launch: Launch
    sources: Sources
    folder: str
    inputs: dict[str, str]
    beginning: Beginning | None = None

    @property
    def best(self) -> str:
        """The store name of the weights with the lowest validation loss so far, while the training runs."""
        return f"{self.folder}/best.safetensors"

    @property
    def source(self) -> PairSource:
        """The pairs that are learned from."""
        return self.sources.training

    @property
    def identity(self) -> dict[str, object]:
        """What must be equal for two trainings to be the same planned."""
        return {"inputs": self.inputs, "settings": self.run.settings()}


def plan(store: Store, run: AnyRun, launch: Launch) -> PlannedRun:
    """The work of a launch; `UserError` when data, CLIP or the weights to begin with are missing, or the run's name leads elsewhere."""
    if not launch.name or set(launch.name) & set("/\\:"):
        raise UserError(f"--run {launch.name!r} must be a plain name, such as 'first'")
    changed = {name: value for name, value in (("steps", launch.steps), ("seed", launch.seed)) if value is not None}
    try:
        run = replace(run, **changed)
    except ValueError as error:
        raise UserError(str(error)) from error
    source = pairs_source(store, launch.dataset)
    sources = Sources(training=source, validation=validation_source(store, launch.dataset))
    learned_from = {"dataset": source.digest} | ({"verdicts": source.verdicts} if source.verdicts else {})
    inputs = learned_from | _clip_input(store, launch.clip)
    beginning = find_beginning(store, launch.begin_from, run.stage) if launch.begin_from else None
    if beginning is not None:
        inputs |= {"from": beginning.digest}
        _refuse_other_clip(beginning, run, launch, inputs.get("clip"))
    return PlannedRun(run, launch, sources, f"models/{run.stage}/{launch.name}", inputs, beginning)


def _refuse_other_clip(beginning: Beginning, run: AnyRun, launch: Launch, clip: str | None) -> None:
    """What a stage that is told embeddings has learned holds in the space of its own CLIP only."""
    if run.needs_clip and clip is not None and beginning.clip != clip:
        raise UserError(
            f"--from {beginning.name!r} was conditioned on the CLIP {(beginning.clip or 'unknown')[:12]}, "
            f"but --clip {launch.clip!r} is {clip[:12]}; name the CLIP that it was trained with"
        )


def _clip_input(store: Store, clip: str | None) -> dict[str, str]:
    if clip is None:
        return {}
    weights = store.path(f"{clip}/weights.safetensors")
    if not weights.exists():
        raise UserError(f"--clip {clip!r} holds no weights.safetensors in {store}; train a CLIP first, or name its folder")
    return {"clip": file_digest(weights)}


def finished(store: Store, planned: PlannedRun) -> Manifest | None:
    """The manifest of this very planned, or None; `UserError` when the folder holds another finished training."""
    manifest = read_manifest(store, f"{planned.folder}/manifest.json")
    if manifest is None:
        return None
    settings = {name: value for name, value in manifest.settings.items() if name not in IDENTIFIERS}
    if {"inputs": manifest.inputs, "settings": settings} != planned.identity:
        raise UserError(f"{store}/{planned.folder} holds a finished training from other data or settings; choose another --run name")
    return manifest if all(store.exists(name) for name in manifest.files) else None


def resumable(store: Store, planned: PlannedRun) -> bool:
    """Whether there is a checkpoint of this very work; `UserError` when it is damaged or belongs to another."""
    path = store.local_path(f"{planned.folder}/last.ckpt")
    content = read_checkpoint(path)
    if content is None:
        return False
    if content["unclip"] != planned.identity:
        raise UserError(f"{path} was made from other data or settings; choose another --run name, or move the file aside")
    return True


def fit(store: Store, run: AnyRun, launch: Launch) -> Manifest:
    """Trains and gives the manifest; returns at once when it was done before.

    `UserError` for missing data, a damaged checkpoint, a taken run name or a diverging loss.
    """
    planned = plan(store, run, launch)
    done = finished(store, planned)
    if done is not None:
        return done
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    resume = resumable(store, planned)
    seed_everything(planned.run.seed, verbose=False)
    parts = assemble(TrainingSite(store, planned.sources, planned.folder, launch.clip, planned.beginning), planned.run)
    tracker = _tracker(store, planned) if launch.track and is_first() else None
    curves = Curves(planned.run.batch_size, tracker)
    if planned.sources.validation is None and is_first():
        say(f"{planned.run.stage}: {launch.dataset} has no validation split, so no validation loss is measured")
    try:
        _train(store, planned, parts, tracker, curves, resume)
    except BaseException as error:
        if tracker is not None:
            tracker.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    return _finish(store, planned, parts, tracker, curves)


def is_first() -> bool:
    """Whether this is the first of the processes that train together, which alone writes."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _train(store: Store, planned: PlannedRun, parts: Assembly, tracker: Tracker | None, curves: Curves, resume: bool) -> None:
    path = store.local_path(f"{planned.folder}/last.ckpt")
    path.parent.mkdir(parents=True, exist_ok=True)
    run, launch = planned.run, planned.launch
    parts.stage.identity = planned.identity
    if run.compiled and training_device().type == "cuda":
        compile_inner(parts.stage.network)
    trainer = Trainer(
        max_steps=run.steps,
        max_epochs=-1,
        devices=launch.processes,
        num_nodes=launch.nodes,
        strategy="ddp" if launch.processes * launch.nodes > 1 else "auto",
        precision=chosen(run.precision),
        gradient_clip_val=run.optim.grad_clip,
        callbacks=[
            SeededSteps(run.seed),
            Validation(curves, (lambda: _save(store, planned.best, parts)) if run.keep_best else None),
            curves,
            SampleGrids(store, planned.folder, run.sample_every, tracker),
            progress_callback(run.stage),
            Checkpoints(path),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
        default_root_dir=path.parent,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".*does not have many workers.*|.*in eval mode.*|.*GPU available but not used.*|.*treespec, LeafSpec.*"
        )
        trainer.fit(parts.stage, datamodule=parts.data, ckpt_path=path if resume else None, weights_only=True)


def _tracker(store: Store, planned: PlannedRun) -> Tracker:
    """A tracker that goes on with the run of an earlier start, whose id lies beside the checkpoint."""
    name = f"{planned.folder}/mlflow_run_id"
    earlier = store.read_bytes(name).decode().strip() if store.exists(name) else None
    run, launch = planned.run, planned.launch
    tags = {"stage": run.stage, "recipe": run.recipe, "dataset": launch.dataset, "dataset_digest": planned.source.digest}
    tags |= {"from": planned.inputs["from"]} if "from" in planned.inputs else {}
    tags |= {"dagster_run_id": launch.dagster_run_id} if launch.dagster_run_id else {}
    card = RunCard(name=f"{run.stage}/{launch.name}", params=flat(run.settings()), tags=tags, run_id=earlier, uri=launch.tracking_uri)
    return Tracker(store, card, on_start=lambda run_id: store.write_bytes(name, run_id.encode()))


def flat(settings: Mapping[str, JsonValue], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow's params: `optim.lr` -> "0.0003"."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return found


def _finish(store: Store, planned: PlannedRun, parts: Assembly, tracker: Tracker | None, curves: Curves) -> Manifest:
    """Saves the averaged weights and the curves, closes the tracked run, writes the manifest last."""
    folder = planned.folder
    is_best_kept = planned.run.keep_best and store.exists(planned.best)
    if not is_first():
        return make_manifest(store, "model", [], inputs=planned.inputs, settings=planned.run.settings())
    weights = f"{folder}/weights.safetensors"
    if is_best_kept:
        with store.writing(weights) as part:
            shutil.copyfile(store.path(planned.best), part)
    else:
        with parts.stage.averaged_weights():
            _save(store, weights, parts)
    validated = write_metrics(store, folder, curves)
    if tracker is not None:
        tracker.picture(Path(store.path(f"{folder}/{CURVES_FILE}")), "curves")
    mlflow_run_id = (tracker.finish() if tracker is not None else None) or ""
    names = [name for name in store.names(f"{folder}/") if not name.endswith(("last.ckpt", "manifest.json", planned.best))]
    settings: dict[str, JsonValue] = planned.run.settings() | {
        "dagster_run_id": planned.launch.dagster_run_id,
        "mlflow_run_id": mlflow_run_id,
    }
    counts = {"steps": planned.run.steps, "pairs": planned.source.count, "loss": curves.last("loss")} | validated
    manifest = make_manifest(store, "model", names, inputs=planned.inputs, settings=settings, counts=counts)
    write_manifest(store, f"{folder}/manifest.json", manifest)
    if is_best_kept:
        store.remove(planned.best)
    return manifest


def _save(store: Store, name: str, parts: Assembly) -> None:
    """Writes the network's weights as they are now, whole or not at all."""
    with store.writing(name) as part:
        parts.save(part)

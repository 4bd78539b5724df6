"""Evaluation of a bundle: figures and pictures in one folder, done when its manifest is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from unclip_evaluation.alignment import clip_score
from unclip_evaluation.checkers.calibration import calibrated
from unclip_evaluation.checkers.checks import Checker
from unclip_evaluation.comparison import Judges, checker_figures, compared_set, painted_row, probe_figures
from unclip_evaluation.composition import hits
from unclip_evaluation.distances import frechet
from unclip_evaluation.diversity import diversity
from unclip_evaluation.evaluation_data import EvaluationData, asked_sets, load_data
from unclip_evaluation.figures import Evaluation, HitFigures, SetFigures
from unclip_evaluation.painting import EvaluationPainter
from unclip_evaluation.plan import EvaluationPlan
from unclip_evaluation.probes.probes import LabelledPictures, learned_probes
from unclip_evaluation.prompts.choice import TRAINING
from unclip_evaluation.prompts.prompt import Prompt
from unclip_evaluation.prompts.prompt_file import HELD_OUT, OWN_WORDS
from unclip_evaluation.regurgitation import distribution
from unclip_evaluation.sheets import Painted, sheets
from unclip_generation.loading import open_generator
from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest, is_done, make_manifest, settings_digest, write_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import write_array
from unclip_training.data.pair_source import pairs_source
from unclip_training.judging.mobilenet import SIDE


def bundle_digest(folder: Path) -> str:
    """The digest of a bundle's files; `UserError` when it is no bundle."""
    if not (folder / "bundle.json").exists():
        raise UserError(f"{folder} holds no bundle.json; make a release candidate first, or name a bundle folder")
    names = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json" and not path.name.startswith("."))
    return settings_digest({path.name: file_digest(path) for path in names})


def evaluate(
    store: Store, bundle_folder: Path, dataset: str, plan: EvaluationPlan, out: str | None = None, progress: Progress = silent
) -> Evaluation:
    """The figures of a bundle on a dataset version; they and the pictures are written to `out`.

    `out` is evaluation/<bundle digest> by default; it gets evaluation.json, the sheets (`unclip_evaluation.sheets`), painted.npy and, last,
    manifest.json. A killed evaluation goes on, a finished one is read back. `UserError` for a missing bundle, dataset or judge, for a
    dataset without labels and for prompts that are not as they should be.
    """
    digest, judge_folder = bundle_digest(bundle_folder), store.folder(plan.judge)
    folder = out or f"evaluation/{digest[:12]}"
    asked, prompts = asked_sets(store, dataset, plan.prompts)
    inputs = {"bundle": digest, "dataset": pairs_source(store, dataset).digest, "judge": _judge_digest(judge_folder), "prompts": prompts}
    settings = plan.settings()
    if is_done(store, f"{folder}/manifest.json", inputs, settings):
        return cast(Evaluation, store.read_json(f"{folder}/evaluation.json"))
    data = load_data(store, dataset, asked, plan, progress)
    judges = learned_judges(store, data, plan, progress)
    cache = f"{folder}/work-{settings_digest([inputs, settings])[:8]}"
    painter = EvaluationPainter(store, cache, open_generator(bundle_folder), plan.seed, progress)
    painted = paint(painter, data, plan)
    figures = measure(data, painted, judges, judge_folder, progress)
    names = _written(store, folder, painted, sheets(painter, data, painted, plan), figures)
    write_manifest(store, f"{folder}/manifest.json", make_manifest(store, "evaluation", names, inputs=inputs, settings=settings))
    return figures


def _judge_digest(folder: Path) -> str:
    path = folder / "weights.safetensors"
    if not path.exists():
        raise UserError(f"the judge {folder} is not trained; run recipe judge_tiny first, or name its run folder")
    return file_digest(path)


def learned_judges(store: Store, data: EvaluationData, plan: EvaluationPlan, progress: Progress) -> Judges:
    """The probes, learned from the training split or found in the cache, and the checks, calibrated on it."""
    train = data.sources.train
    pairs = train.reference.pairs
    pictures = LabelledPictures(pairs.digest, pairs.pictures, train.reference.features, train.labels)
    probes = learned_probes(store, pictures, progress, plan.probes)
    return Judges(probes, Checker(calibrated(pairs.pictures, train.labels), probes.concept))


def paint(painter: EvaluationPainter, data: EvaluationData, plan: EvaluationPlan) -> Painted:
    """A picture for each prompt of each set, and several for the first prompts in own words, or the first training captions."""

    def texts(prompts: list[Prompt]) -> list[str]:
        return [prompt.text for prompt in prompts]

    scales = plan.guidance_scales
    rows = {name: painted_row(prompts, painter.painted(name, texts(prompts), scales)) for name, prompts in data.sets.items()}
    diverse = (data.sets.get(OWN_WORDS) or data.sets.get(TRAINING, []))[: plan.num_diverse]
    many = painter.painted("seeds", [text for text in texts(diverse) for _ in range(plan.seeds_per_prompt)], scales)
    return Painted(rows, diverse, many.reshape(len(diverse), plan.seeds_per_prompt, SIDE, SIDE, 3))


def measure(data: EvaluationData, painted: Painted, judges: Judges, judge_folder: Path, progress: Progress) -> Evaluation:
    """All figures of what was painted."""
    sets: dict[str, SetFigures] = {}
    for number, (name, prompts) in enumerate(data.sets.items(), start=1):
        sets[name] = compared_set(prompts, painted.sets[name], data.sources, judges)
        progress(number, len(data.sets), f"judging {name}")
    return Evaluation(
        **hit_figures(data, painted, judge_folder),
        sets=sets,
        missing_sets=dict(data.missing),
        probes=probe_figures(judges.probes, data.sources),
        checkers=checker_figures(judges.checker, data.sources),
        diversity=diversity(painted.diverse, painted.seeds, judges.probes.concept),
    )


def hit_figures(data: EvaluationData, painted: Painted, judge_folder: Path) -> HitFigures:
    """The plain figures, of the training captions and of unseen combinations."""
    train, row, prompts = data.sources.train, painted.sets[TRAINING], data.sets[TRAINING]
    unseen = painted.sets.get(HELD_OUT)
    seen_hits = hits(prompts, row.features, train.reference.features, train.labels)
    unseen_hits = hits(data.held_out, unseen.features, train.reference.features, train.labels) if unseen else None
    captions, places = [prompt.text for prompt in prompts], {key: place for place, key in enumerate(train.reference.pairs.keys)}
    real = train.pictures([places[prompt.key] for prompt in prompts if prompt.key is not None])
    return HitFigures(
        concept_hit_rate=seen_hits.concept,
        style_hit_rate=seen_hits.style,
        held_out_concept_hit_rate=unseen_hits.concept if unseen_hits else 0.0,
        held_out_style_hit_rate=unseen_hits.style if unseen_hits else 0.0,
        clip_score_judge=clip_score(judge_folder, row.pictures, captions),
        clip_score_judge_of_training_pictures=clip_score(judge_folder, real, captions),
        frechet_mnv2=frechet(row.features, train.reference.features),
        nearest_train=distribution(seen_hits.cosines),
        num_prompts=len(prompts),
        num_held_out=len(data.held_out),
        num_concepts=len({label.concept for label in train.labels if label}),
        num_styles=len({label.style for label in train.labels if label}),
    )


def _written(store: Store, folder: str, painted: Painted, pictures: Mapping[str, bytes], figures: Evaluation) -> list[str]:
    """Writes the sheets, the painted pictures themselves and the figures; gives the names."""
    for name, data in pictures.items():
        store.write_bytes(f"{folder}/{name}.png", data)
    everything: NDArray[np.uint8] = painted.everything
    write_array(store, f"{folder}/painted.npy", everything)
    store.write_json(f"{folder}/evaluation.json", figures)
    return [f"{folder}/evaluation.json", f"{folder}/painted.npy", *(f"{folder}/{name}.png" for name in pictures)]

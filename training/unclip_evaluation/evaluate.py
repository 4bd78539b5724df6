"""Evaluation of a bundle: figures and pictures in one folder, done when its manifest is there."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_evaluation.alignment import clip_score
from unclip_evaluation.composition import Hits, Label, Prompt, hits, labels_of, one_per_combination, one_per_concept
from unclip_evaluation.distances import ReferenceSet, frechet, reference_set
from unclip_evaluation.painting import EvaluationPainter
from unclip_evaluation.regurgitation import closest_sheet, distribution
from unclip_evaluation.sheet import CaptionedPictures, captioned_sheet
from unclip_generation.bundle import Guidance
from unclip_generation.pipeline import UnCLIP
from unclip_pairs.errors import UserError
from unclip_pairs.images import encode_png
from unclip_pairs.manifest import file_digest, is_done, make_manifest, settings_digest, write_manifest
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store
from unclip_training.data.decoded_cache import write_array
from unclip_training.data.pair_source import pairs_source
from unclip_training.judging.mobilenet import SIDE, features


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What is painted and measured: captions of training pairs of distinct concepts, then unseen (concept, style) combinations.

    `judge` is a run folder; `guidance` is the decoder's scale, by default the bundle's own.
    """

    judge: str
    num_prompts: int = 200
    num_held_out: int = 100
    sheet_cards: int = 24
    sweep_prompts: int = 6
    sweep_scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)
    guidance: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class EvaluationData:
    """The reference sets with their features, the labels and the prompts."""

    train: ReferenceSet
    train_labels: list[Label | None]
    held_out: ReferenceSet
    prompts: list[Prompt]
    held_out_prompts: list[Prompt]


@dataclass(frozen=True)
class Painted:
    """The painted pictures of both kinds of prompts, uint8 [N, 128, 128, 3], and what they hit."""

    prompts: NDArray[np.uint8]
    held_out: NDArray[np.uint8]
    prompt_features: NDArray[np.float32]
    hits: Hits
    held_out_hits: Hits


def bundle_digest(folder: Path) -> str:
    """The digest of a bundle's files; `UserError` when it is no bundle."""
    if not (folder / "bundle.json").exists():
        raise UserError(f"{folder} holds no bundle.json; make a release candidate first, or name a bundle folder")
    names = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json" and not path.name.startswith("."))
    return settings_digest({path.name: file_digest(path) for path in names})


def evaluate(
    store: Store, bundle_folder: Path, dataset: str, plan: EvaluationPlan, out: str | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """The figures of a bundle on a dataset version, as in `measure`; they and the pictures are written to `out`.

    `out` is evaluation/<bundle digest> by default; it gets evaluation.json, contact_sheet.png, guidance_sweep.png, closest.png, painted.npy
    and, last, manifest.json. A killed evaluation goes on, a finished one is read back. `UserError` for a missing bundle, dataset or judge,
    and for a dataset without labels.
    """
    digest = bundle_digest(bundle_folder)
    folder = out or f"evaluation/{digest[:12]}"
    judge_folder = store.folder(plan.judge)
    inputs = {"bundle": digest, "dataset": pairs_source(store, dataset).digest, "judge": _judge_digest(judge_folder)}
    settings = asdict(plan) | {"sweep_scales": list(plan.sweep_scales), "side": SIDE}
    if is_done(store, f"{folder}/manifest.json", inputs, settings):
        return store.read_json(f"{folder}/evaluation.json")
    data = load_evaluation_data(store, dataset, plan, progress)
    cache = f"{folder}/work-{settings_digest([inputs, settings])[:8]}"
    painter = EvaluationPainter(store, cache, UnCLIP.load(bundle_folder), plan.seed, progress)
    painted = paint_prompts(painter, data, plan)
    names = _pictures(store, folder, painter, data, painted, plan)
    figures = measure(data, painted, judge_folder)
    store.write_json(f"{folder}/evaluation.json", figures)
    names.append(f"{folder}/evaluation.json")
    write_manifest(store, f"{folder}/manifest.json", make_manifest(store, "evaluation", names, inputs=inputs, settings=settings))
    return figures


def _judge_digest(folder: Path) -> str:
    path = folder / "weights.safetensors"
    if not path.exists():
        raise UserError(f"the judge {folder} is not trained; run recipe judge_tiny first, or name its run folder")
    return file_digest(path)


def load_evaluation_data(store: Store, dataset: str, plan: EvaluationPlan, progress: Progress) -> EvaluationData:
    """The sets and the prompts, the same for the same dataset and seed."""
    count = pairs_source(store, dataset).count
    train = reference_set(store, dataset, "train", lambda done: progress(done, count, "features of the training pictures"))
    held_out = reference_set(store, dataset, "held_out")
    train_labels = labels_of(store, pairs_source(store, dataset))
    held_labels = labels_of(store, pairs_source(store, dataset, "held_out"))
    return EvaluationData(
        train,
        [train_labels.get(key) for key in train.pairs.keys],
        held_out,
        one_per_concept(train.pairs.keys, train.pairs.captions, train_labels, plan.num_prompts, plan.seed),
        one_per_combination(held_out.pairs.keys, held_out.pairs.captions, held_labels, plan.num_held_out),
    )


def paint_prompts(painter: EvaluationPainter, data: EvaluationData, plan: EvaluationPlan) -> Painted:
    """One picture for each prompt, and what it hits."""
    guidance = None if plan.guidance is None else Guidance(decoder=plan.guidance)
    seen = painter.painted("prompts", [prompt.caption for prompt in data.prompts], guidance)
    unseen = painter.painted("held_out", [prompt.caption for prompt in data.held_out_prompts], guidance)
    seen_features, unseen_features = features(seen), features(unseen)
    of = (data.train.features, data.train_labels)
    return Painted(seen, unseen, seen_features, hits(data.prompts, seen_features, *of), hits(data.held_out_prompts, unseen_features, *of))


def measure(data: EvaluationData, painted: Painted, judge_folder: Path) -> dict[str, Any]:
    """The figures: rates in [0, 1], judge's scores in [-100, 100], `frechet_mnv2` at least 0, `nearest_train` as in `regurgitation`."""
    captions, keys = [prompt.caption for prompt in data.prompts], {key: place for place, key in enumerate(data.train.pairs.keys)}
    real = np.asarray(data.train.pairs.at(SIDE)[[keys[prompt.key] for prompt in data.prompts]])
    return {
        "concept_hit_rate": painted.hits.concept,
        "style_hit_rate": painted.hits.style,
        "held_out_concept_hit_rate": painted.held_out_hits.concept,
        "held_out_style_hit_rate": painted.held_out_hits.style,
        "clip_score_judge": clip_score(judge_folder, painted.prompts, captions),
        "clip_score_judge_of_training_pictures": clip_score(judge_folder, real, captions),
        "frechet_mnv2": frechet(painted.prompt_features, data.train.features),
        "nearest_train": distribution(painted.hits.cosines),
        "num_prompts": len(data.prompts),
        "num_held_out": len(data.held_out_prompts),
        "num_concepts": len({label.concept for label in data.train_labels if label}),
        "num_styles": len({label.style for label in data.train_labels if label}),
    }


def _pictures(
    store: Store, folder: str, painter: EvaluationPainter, data: EvaluationData, painted: Painted, plan: EvaluationPlan
) -> list[str]:
    """Writes the sheets and the painted pictures themselves; gives the names."""
    neighbours = np.asarray(data.train.pairs.at(SIDE)[painted.hits.places])
    captions = [prompt.caption for prompt in data.prompts]
    sheets = {
        "contact_sheet": contact_sheet(painter, data, painted, plan.sheet_cards),
        "guidance_sweep": guidance_sweep(painter, captions[: plan.sweep_prompts], plan.sweep_scales),
        "closest": closest_sheet(painted.prompts, neighbours, painted.hits.cosines, captions),
    }
    for name, sheet in sheets.items():
        store.write_bytes(f"{folder}/{name}.png", encode_png(sheet))
    write_array(store, f"{folder}/painted.npy", np.concatenate([painted.prompts, painted.held_out]))
    return [f"{folder}/painted.npy", *(f"{folder}/{name}.png" for name in sheets)]


def contact_sheet(painter: EvaluationPainter, data: EvaluationData, painted: Painted, count: int) -> Image.Image:
    """Training picture, its reconstruction and text-to-image for `count` captions; then `count` compositions that were never seen."""
    keys = {key: place for place, key in enumerate(data.train.pairs.keys)}
    chosen = data.prompts[:count]
    real = np.asarray(data.train.pairs.at(SIDE)[[keys[prompt.key] for prompt in chosen]])
    again = painter.reconstructed("reconstructions", real, [prompt.caption for prompt in chosen])
    seen = [CaptionedPictures(prompt.caption, (real[i], again[i], painted.prompts[i])) for i, prompt in enumerate(chosen)]
    unseen = [CaptionedPictures(prompt.caption, (painted.held_out[i],)) for i, prompt in enumerate(data.held_out_prompts[:count])]
    return captioned_sheet(
        [
            ("training picture | reconstruction through the decoder | text-to-image", seen),
            ("compositions of concept and style that were never seen in training", unseen),
        ]
    )


def guidance_sweep(painter: EvaluationPainter, captions: list[str], scales: tuple[float, ...]) -> Image.Image:
    """A card for each caption: the same seed at every guidance scale of the decoder."""
    columns = [painter.painted(f"guidance-{scale:g}", captions, Guidance(decoder=scale)) for scale in scales]
    cards = [CaptionedPictures(caption, tuple(column[i] for column in columns)) for i, caption in enumerate(captions)]
    return captioned_sheet([("decoder guidance " + ", ".join(f"{scale:g}" for scale in scales), cards)])

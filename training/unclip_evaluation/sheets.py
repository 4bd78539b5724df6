"""Sheets of an evaluation: what was painted for each set, beside real pictures, at several guidance scales, and nearest to training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_evaluation.baselines import LabelledSet, real_places
from unclip_evaluation.comparison import Row
from unclip_evaluation.distances import nearest
from unclip_evaluation.evaluation_data import EvaluationData
from unclip_evaluation.painting import EvaluationPainter
from unclip_evaluation.plan import EvaluationPlan
from unclip_evaluation.prompts.choice import TRAINING
from unclip_evaluation.prompts.prompt import Prompt
from unclip_evaluation.regurgitation import closest_sheet
from unclip_evaluation.sheet import CaptionedPictures, captioned_sheet
from unclip_generation.bundle import Guidance
from unclip_pairs.images import encode_png

TITLES = {
    "training": "training captions, to the letter",
    "own_words": "in own words",
    "attributes": "attributes: background, skin tone, size, never so in training",
    "attributes_seen": "attributes as in training",
    "held_out": "concept and style never seen together in training",
    "held_out_seen": "concept and style seen together in training",
    "scenes": "composed scenes, never so in training",
    "scenes_seen": "composed scenes as in training",
}
CLOSEST = 12
Pictures = NDArray[np.uint8]
Part = tuple[str, list[CaptionedPictures]]


@dataclass(frozen=True)
class Painted:
    """The painted pictures of every set, and those of the diverse prompts with S seeds each (uint8 [P, S, 128, 128, 3])."""

    sets: Mapping[str, Row]
    diverse: list[Prompt]
    seeds: Pictures

    @property
    def everything(self) -> Pictures:
        """All of them in one array: uint8 [N, 128, 128, 3]."""
        return np.concatenate([*(row.pictures for row in self.sets.values()), self.seeds.reshape(-1, *self.seeds.shape[2:])])


def sheets(painter: EvaluationPainter, data: EvaluationData, painted: Painted, plan: EvaluationPlan) -> dict[str, bytes]:
    """PNG bytes by name: contact_sheet (every set, then several seeds in a row), real_and_painted, guidance_sweep, closest."""
    training = data.sets.get(TRAINING, [])
    texts = [prompt.text for prompt in training]
    found = {
        "contact_sheet": captioned_sheet(_contact_parts(data, painted, plan.sheet_cards)),
        "real_and_painted": captioned_sheet(_pair_parts(painter, data, painted, plan.sheet_cards)),
        "guidance_sweep": _guidance_sweep(painter, texts[: plan.sweep_prompts], plan.sweep_scales),
        "closest": _closest(data, painted),
    }
    return {name: encode_png(sheet) for name, sheet in found.items()}


def _contact_parts(data: EvaluationData, painted: Painted, count: int) -> list[Part]:
    """Every set but the training captions, unless these are all that there is; then the seeds of a prompt in a row."""
    names = [name for name in data.sets if name != TRAINING] or [TRAINING]
    parts = [(TITLES[name], _cards(data.sets[name], count, lambda i, name=name: (painted.sets[name].pictures[i],))) for name in names]
    seeds = _cards(painted.diverse, count, lambda i: tuple(painted.seeds[i]))
    return [*parts, (f"{painted.seeds.shape[1]} seeds of each prompt", seeds)]


def _pair_parts(painter: EvaluationPainter, data: EvaluationData, painted: Painted, count: int) -> list[Part]:
    """Training picture, its reconstruction and what the caption gives; then, set by set, a real picture and the painted one."""
    training, source = data.sets.get(TRAINING, [])[:count], data.sources.train
    places = {key: place for place, key in enumerate(source.reference.pairs.keys)}
    real = source.pictures([places[prompt.key] for prompt in training if prompt.key is not None])
    again = painter.reconstructed("reconstructions", real, [prompt.text for prompt in training])
    head = "training picture | reconstruction through the decoder | painted from the caption"
    parts: list[Part] = [(head, _cards(training, count, lambda i: (real[i], *again[i : i + 1], painted.sets[TRAINING].pictures[i])))]
    for name, prompts in data.sets.items():
        if name != TRAINING and (cards := _real_cards(data, prompts, painted.sets[name].pictures)[:count]):
            parts.append((f"real picture of the same kind | painted: {TITLES[name]}", cards))
    return parts


def _real_cards(data: EvaluationData, prompts: Sequence[Prompt], pictures: Pictures) -> list[CaptionedPictures]:
    cards: list[CaptionedPictures] = []
    for seen, source in ((False, data.sources.held_out), (True, data.sources.validation)):
        places = [i for i, prompt in enumerate(prompts) if prompt.seen is seen]
        pairs: Sequence[tuple[int, int]] = real_places([prompts[i] for i in places], source.labels) if source is not None else []
        for number, place in pairs:
            assert isinstance(source, LabelledSet)
            i = places[number]
            cards.append(CaptionedPictures(prompts[i].text, (source.pictures([place])[0], pictures[i])))
    return cards


def _cards(prompts: Sequence[Prompt], count: int, pictures: Callable[[int], tuple[Pictures, ...]]) -> list[CaptionedPictures]:
    return [CaptionedPictures(prompt.text, pictures(i)) for i, prompt in enumerate(prompts[:count])]


def _guidance_sweep(painter: EvaluationPainter, captions: list[str], scales: tuple[float, ...]) -> Image.Image:
    """A card for each caption: the same seed at every guidance scale of the decoder."""
    columns = [painter.painted(f"guidance-{scale:g}", captions, Guidance(decoder=scale)) for scale in scales]
    cards = [CaptionedPictures(caption, tuple(column[i] for column in columns)) for i, caption in enumerate(captions)]
    return captioned_sheet([("decoder guidance " + ", ".join(f"{scale:g}" for scale in scales), cards)])


def _closest(data: EvaluationData, painted: Painted) -> Image.Image:
    """The painted pictures that come nearest to training pictures, whatever they were painted for."""
    texts = [prompt.text for name in painted.sets for prompt in data.sets[name]]
    train, rows = data.sources.train, painted.sets.values()
    places, cosines = nearest(np.concatenate([row.features for row in rows]), train.reference.features)
    pictures = np.concatenate([row.pictures for row in rows])
    order = np.argsort(-cosines)[:CLOSEST]
    return closest_sheet(pictures[order], train.pictures(places[order]), cosines[order], [texts[i] for i in order], CLOSEST)

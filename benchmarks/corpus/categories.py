"""Pictures of active_learning.py: emoji concepts in five designs and three takes, with features and what is truly shown.

Stand-in categories only: weapons, skulls and bones, alcohol. The truth of a picture is read from its concept's name.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from unclip_pairs.home import open_store
from unclip_pairs.images import decode, fit_square, to_array
from unclip_pairs.store import Store
from unclip_starter.concepts import Concept, order, read_names
from unclip_starter.packages import EMOJIBASE, STYLE_PACKAGES, drawings, fetch_packages

SIDE = 128
TAKES = 3
PORTION = 200
# whole words of a concept's name; of those under the second expression none is a member
CATEGORIES = {
    "weapons": (r"axe|bomb|boomerang|bow and arrow|crossed swords|dagger|kitchen knife|ninja|person fencing|pistol", "water pistol"),
    "alcohol": (r"beer mugs?|wine glass|cocktail glass|tropical drink|clinking \w+|popping cork|sake|tumbler glass", "none"),
    "skulls": (r"bone|skull|coffin|headstone|funeral urn|zombie|pirate flag", "meat on bone"),
}


@dataclass(frozen=True)
class Corpus:
    """Features float32 [pictures, 1280] of length one, and the concept name of each picture."""

    vectors: NDArray[np.float32]
    labels: list[str]

    def truth(self, category: str) -> NDArray[np.bool_]:
        """Which pictures belong to a stand-in category."""
        return np.array([is_member(category, label) for label in self.labels])


def is_member(category: str, label: str) -> bool:
    """Whether a concept of this name belongs to a stand-in category."""
    words, exceptions = (re.compile(rf"\b({pattern})\b") for pattern in CATEGORIES[category])
    return words.search(label.lower()) is not None and exceptions.search(label.lower()) is None


def build(folder: Path, limit: int | None = None) -> Corpus:
    """The pictures of all concepts, or of the categories and enough others to make `limit`; made once, then read from `folder`."""
    store = open_store(folder)
    name = f"features-{limit or 'all'}-{TAKES}.npz"
    if not store.exists(name):
        fetch_packages(store, [EMOJIBASE, *STYLE_PACKAGES.values()])
        made = _embedded(store, limit)
        with store.writing(name) as part:
            np.savez(part, vectors=made.vectors, labels=np.array(made.labels))
    found = np.load(store.path(name), allow_pickle=False)
    return Corpus(found["vectors"], [str(label) for label in found["labels"]])


def _embedded(store: Store, limit: int | None) -> Corpus:
    from unclip_training.judging.mobilenet import features

    parts, labels = list[NDArray[np.float32]](), list[str]()
    for pictures, names in _drawn(store, limit):
        parts.append(features(pictures))
        labels += names
    vectors = np.concatenate(parts)
    return Corpus(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels)


def _drawn(store: Store, limit: int | None) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Pictures uint8 [some, 128, 128, 3] and their concepts' names."""
    sources = {style: drawings(store, style) for style in STYLE_PACKAGES}
    drawn = [concept for concept in read_names(store).concepts if all(concept.id in found for found in sources.values())]
    chosen = drawn if limit is None else _some(drawn, limit // (TAKES * len(sources)))
    work = [(sources[style][concept.id], f"{style} {concept.id}", concept.label) for concept in chosen for style in sources]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for start in range(0, len(work), PORTION):
            data, names, labels = zip(*work[start : start + PORTION], strict=True)
            yield np.concatenate(list(pool.map(takes, data, names, chunksize=16))), [label for label in labels for _ in range(TAKES)]


def _some(concepts: list[Concept], limit: int) -> list[Concept]:
    """All members of the categories and every n-th other concept."""
    members = [concept for concept in concepts if any(is_member(name, concept.label) for name in CATEGORIES)]
    others = [concept for concept in concepts if concept not in members]
    return members + others[:: max(1, len(others) // max(1, limit - len(members)))]


def takes(source: bytes, name: str) -> NDArray[np.uint8]:
    """uint8 [3, 128, 128, 3]: the drawing as it is, and twice as somebody else might have used it (tilted, nearer, on a coloured
    ground, lighter or darker, perhaps mirrored)."""
    if not source.startswith(b"RIFF"):
        import resvg_py

        drawn = resvg_py.svg_to_bytes(svg_string=source.decode(), width=SIDE, height=SIDE, background="#ffffff", skip_system_fonts=True)
        source = bytes(drawn)
    image = fit_square(decode(source), SIDE)
    return np.stack([to_array(image), *(to_array(_retaken(image, np.random.default_rng(_seed(name, take)))) for take in range(1, TAKES))])


def _seed(name: str, take: int) -> int:
    return int(order(take, name)[:8], 16)


def _retaken(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    ground = tuple(int(value) for value in chance.integers(190, 256, 3))
    margin = int(chance.integers(-16, 20))
    moved = image.rotate(float(chance.uniform(-20, 20)), Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    moved = ImageOps.expand(moved, margin, (255, 255, 255)) if margin > 0 else ImageOps.crop(moved, -margin)
    moved = ImageOps.mirror(moved) if chance.random() < 0.5 else moved
    tinted = Image.fromarray((to_array(moved).astype(np.uint16) * np.array(ground, dtype=np.uint16) // 255).astype(np.uint8))
    return ImageEnhance.Brightness(tinted.resize((SIDE, SIDE), Image.Resampling.LANCZOS)).enhance(float(chance.uniform(0.8, 1.15)))

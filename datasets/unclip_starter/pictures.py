"""Pictures of the starter corpus: drawn from SVG or taken as they are, and kept apart from their natural twins.

Two designs can be nearly the same picture by nature: hearts in nine colours, a face in flat and in 3-D. They would make it impossible to
say whether a duplicate that a filter finds was planted, so every picture is compared with all chosen ones, and twins are left out of the
corpus. What is measured on it afterwards is therefore how well *planted* duplicates are found.
"""

import io
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pdqhash
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from unclip_pairs.images import decode, to_array
from unclip_pairs.store import PART_PREFIX, explained
from unclip_starter.concepts import Concept, order

TWIN_BITS = 40  # of PDQ's 256; a policy that calls 31 a duplicate keeps its distance from it
TWIN_CORRELATION = 0.975
FAINT = 12.0  # a spread of grey levels under which a design is hard to tell from a blank picture ...
FAINT_SCENE = 5.0  # ... and a scene, in which a thing may be small
JPEG_SHARE = 15  # of a hundred drawn pictures; the others are PNG, as on a real page
LOOK_SIDE = 32
HASHED_SIDE = 64


@dataclass(frozen=True)
class Drawing:
    """A picture to be made: its source bytes and the file that it becomes."""

    source: bytes
    path: Path
    size: int


@dataclass(frozen=True)
class Look:
    """What is compared: grey levels of unit norm [1024] and PDQ bits as -1/+1 [256], each also mirrored, and the spread of grey levels."""

    grey: NDArray[np.float32]
    grey_mirrored: NDArray[np.float32]
    bits: NDArray[np.float32]
    bits_mirrored: NDArray[np.float32]
    spread: float


def file_name(style: str, code: str, size: int, seed: int) -> str:
    """Where a picture lies under the store's `starter/site`; its extension is its format."""
    drawn = "jpg" if int(order(seed, style, code)[:8], 16) % 100 < JPEG_SHARE else "png"
    return f"pictures/{size}/{style}/{code}.{'webp' if style == 'fluent-3d' else drawn}"


def draw(drawing: Drawing) -> Look:
    """Makes the file unless it is there, and says how it looks."""
    if not drawing.path.exists():
        write_picture(drawing.path, _encoded(drawing))
    return look(decode(drawing.path.read_bytes()))


def write_picture(path: Path, data: bytes) -> None:
    """Whole or not at all, but without waiting for the disk: what a power cut takes away is drawn again."""
    part = path.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}-{path.name}")
    with explained(path):
        part.write_bytes(data)
        part.replace(path)


def _encoded(drawing: Drawing) -> bytes:
    if drawing.path.suffix == ".webp":
        return drawing.source
    png = bytes(
        resvg_py.svg_to_bytes(
            svg_string=drawing.source.decode(), width=drawing.size, height=drawing.size, background="#ffffff", skip_system_fonts=True
        )
    )
    if drawing.path.suffix == ".png":
        return png
    buffer = io.BytesIO()
    decode(png).save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def look(image: Image.Image) -> Look:
    """The numbers by which twins are recognised; hashed at 64 pixels a side, the size that PDQ itself works on."""
    grey = to_array(image.convert("L").resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX))[..., 0].astype(np.float32)
    colours = to_array(image.convert("RGB").resize((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX))
    return Look(_unit(grey), _unit(grey[:, ::-1]), _signs(colours), _signs(colours[:, ::-1]), float(grey.std()))


def _signs(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    # pdqhash's own mirrored hash (compute_dihedral) is off by some 30 bits from the hash of the mirrored picture
    bits, _ = pdqhash.compute(np.ascontiguousarray(colours))
    return np.asarray(bits, dtype=np.float32) * 2 - 1


def _unit(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = (grey - grey.mean()).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


class DistinctLooks:
    """The looks chosen so far, as rows of two growing arrays."""

    def __init__(self) -> None:
        self.count = 0
        self.grey = np.zeros((8, LOOK_SIDE * LOOK_SIDE), np.float32)
        self.bits = np.zeros((8, 256), np.float32)

    def has_twin(self, looks: Sequence[Look]) -> bool:
        """Whether any of them is nearly, or mirrored nearly, a picture already chosen."""
        grey = np.stack([side for one in looks for side in (one.grey, one.grey_mirrored)], axis=1)
        bits = np.stack([side for one in looks for side in (one.bits, one.bits_mirrored)], axis=1)
        alike = self.grey[: self.count] @ grey
        apart = (256 - self.bits[: self.count] @ bits) / 2
        return bool((alike > TWIN_CORRELATION).any() or (apart <= TWIN_BITS).any())

    def admit(self, looks: Sequence[Look], faint: float = FAINT) -> list[bool]:
        """Takes in, one after the other, those that are no twins of what is there already; says which were."""
        if not looks:
            return []
        grey, bits = np.stack([one.grey for one in looks]), np.stack([one.bits for one in looks])
        mirrored = np.stack([one.grey_mirrored for one in looks]), np.stack([one.bits_mirrored for one in looks])
        old = twins(self.grey[: self.count], self.bits[: self.count], grey, bits) | twins(
            self.grey[: self.count], self.bits[: self.count], *mirrored
        )
        new = twins(grey, bits, grey, bits) | twins(grey, bits, *mirrored)
        taken = list[int]()
        for number, one in enumerate(looks):
            if one.spread >= faint and not old[:, number].any() and not new[taken, number].any():
                taken.append(number)
        self.add([looks[number] for number in taken])
        return [number in set(taken) for number in range(len(looks))]

    def add(self, looks: Sequence[Look]) -> None:
        """Takes them in."""
        for one in looks:
            if self.count == len(self.grey):
                self.grey = np.concatenate([self.grey, np.zeros_like(self.grey)])
                self.bits = np.concatenate([self.bits, np.zeros_like(self.bits)])
            self.grey[self.count], self.bits[self.count] = one.grey, one.bits
            self.count += 1


def twins(
    grey: NDArray[np.float32], bits: NDArray[np.float32], other_grey: NDArray[np.float32], other_bits: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """bool [rows, others]: which pictures look nearly the same."""
    return (grey @ other_grey.T > TWIN_CORRELATION) | ((256 - bits @ other_bits.T) / 2 <= TWIN_BITS)


def without_twins(looks: dict[str, Look]) -> dict[str, Look]:
    """The styles of one concept, in their order, without those that look like an earlier one or like a blank picture."""
    kept = dict[str, Look]()
    chosen = DistinctLooks()
    for style, one in looks.items():
        if one.spread >= FAINT and not chosen.has_twin([one]):
            kept[style] = one
            chosen.add([one])
    return kept


@dataclass(frozen=True)
class Chosen:
    """A concept with the styles in which it is in the corpus."""

    concept: Concept
    styles: tuple[str, ...]


Draw = Callable[[Sequence[Concept]], Iterator[dict[str, Look]]]


def choose(
    concepts: Sequence[Concept], draw_all: Draw, wanted: int, min_styles: int, seed: int, gallery: DistinctLooks | None = None
) -> Iterator[Chosen]:
    """Concepts in their order until `wanted` are found; each differs from all others and from what the gallery holds, and has at least
    `min_styles` styles that differ. What is chosen is added to the gallery."""
    gallery, found = gallery or DistinctLooks(), 0
    if not wanted:
        return
    for concept, looks in zip(concepts, draw_all(concepts), strict=True):
        shuffled = dict(sorted(looks.items(), key=lambda item: order(seed, concept.id, item[0])))
        kept = without_twins(shuffled)
        if len(kept) < min_styles or gallery.has_twin(list(kept.values())):
            continue
        gallery.add(list(kept.values()))
        yield Chosen(concept, tuple(style for style in looks if style in kept))
        found += 1
        if found == wanted:
            return


def _end_with(parent: int) -> None:
    """Ends this worker when its parent is gone, which a killed parent cannot do itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Pool(Protocol):
    """Calls a function of a module on each item in other processes; the answers come in order."""

    def __call__(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """The answers, in the order of the items."""
        ...


@contextmanager
def drawing_pool(workers: int) -> Iterator[Pool]:
    """A `Pool` of processes; what was not asked for is given up at the end."""
    # spawn: the caller may have threads, which do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),))

    def mapped(function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        return pool.map(function, items, chunksize=20)

    try:
        yield mapped
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""Composing: designs drawn once with a transparent ground, and set into scenes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageFilter, ImageOps

from unclip_pairs.images import decode, encode_png
from unclip_starter.pictures import Look, look, write_picture
from unclip_starter.scenes.scene import COLOURS, FRONT, Box, Scene

VISIBLE = 24  # of 255, the alpha from which on a pixel belongs to the thing
APART = 90.0  # the distance in RGB from which on a pixel stands out from a background ...
STANDS_OUT = 0.4  # ... and the share of pixels that must
SHADOW_ALPHA, SHADOW_BLUR, SHADOW_SHIFT = 0.5, 5.0, (5, 7)


@dataclass(frozen=True)
class DesignDrawing:
    """A design to be drawn: SVG or WebP bytes, the PNG with alpha that it becomes, and its side in pixels."""

    source: bytes
    path: Path
    size: int


@dataclass(frozen=True)
class Design:
    """A design with a transparent ground: its file, its visible part in pixels, and the names of the backgrounds it stands out from."""

    path: Path
    visible: tuple[int, int, int, int]
    backgrounds: tuple[str, ...]
    size: int

    @property
    def aspect(self) -> float:
        """Width over height of the visible part."""
        left, top, right, bottom = self.visible
        return (right - left) / (bottom - top)

    @property
    def box(self) -> Box:
        """The visible part as fractions of the side."""
        left, top, right, bottom = self.visible
        return left / self.size, top / self.size, right / self.size, bottom / self.size


@dataclass(frozen=True)
class SceneDrawing:
    """A scene to be composed of designs, one for each thing, and the file it becomes."""

    scene: Scene
    designs: tuple[Design, ...]
    path: Path
    size: int


def draw_design(drawing: DesignDrawing) -> Design:
    """Makes the file unless it is there, and measures it."""
    if not drawing.path.exists():
        write_picture(drawing.path, _with_alpha(drawing))
    image = _read(drawing.path)
    visible = image.getchannel("A").point([255 if alpha >= VISIBLE else 0 for alpha in range(256)]).getbbox()
    assert visible is not None, f"{drawing.path} shows nothing"
    small = np.asarray(image.resize((48, 48), Image.Resampling.BOX), dtype=np.float32).reshape(-1, 4)
    colours = small[small[:, 3] > 127, :3]
    found = [name for name, rgb in COLOURS.items() if (np.linalg.norm(colours - np.array(rgb), axis=1) > APART).mean() >= STANDS_OUT]
    return Design(drawing.path, visible, tuple(found), drawing.size)


def _with_alpha(drawing: DesignDrawing) -> bytes:
    if drawing.source.startswith(b"RIFF"):
        buffer = io.BytesIO()
        image = Image.open(io.BytesIO(drawing.source), formats=("WEBP",)).convert("RGBA")
        image.resize((drawing.size, drawing.size), Image.Resampling.LANCZOS).save(buffer, "PNG")
        return buffer.getvalue()
    return bytes(resvg_py.svg_to_bytes(svg_string=drawing.source.decode(), width=drawing.size, height=drawing.size, skip_system_fonts=True))


@lru_cache(maxsize=64)
def _read(path: Path) -> Image.Image:
    """The design as RGBA."""
    with Image.open(path, formats=("PNG",)) as image:
        return image.convert("RGBA")


def draw_scene(drawing: SceneDrawing) -> Look:
    """Makes the file unless it is there, and says how it looks."""
    if not drawing.path.exists():
        write_picture(drawing.path, _encoded(compose(drawing), drawing.path.suffix))
    return look(decode(drawing.path.read_bytes()))


def _encoded(image: Image.Image, suffix: str) -> bytes:
    if suffix == ".png":
        return encode_png(image, level=3)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def compose(drawing: SceneDrawing) -> Image.Image:
    """The picture, RGB: the background, and on it the things, the last one first."""
    scene, size = drawing.scene, drawing.size
    canvas = Image.new("RGB", (size, size), COLOURS[scene.background])
    for place, (thing, design) in enumerate(reversed(list(zip(scene.things, drawing.designs, strict=True)))):
        left, top, right, bottom = (round(side * size) for side in thing.box)
        cut = _read(design.path).crop(design.visible).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        cut = ImageOps.mirror(cut) if thing.mirrored else cut
        if scene.kind == FRONT and place == len(scene.things) - 1:
            _shade(canvas, cut, (left, top))
        canvas.paste(cut, (left, top), cut)
    return canvas


def _shade(canvas: Image.Image, cut: Image.Image, corner: Sequence[int]) -> None:
    """A soft shadow of what is going to be put at the corner, a little lower and to the right."""
    alpha = Image.new("L", canvas.size)
    alpha.paste(cut.getchannel("A"), (corner[0] + SHADOW_SHIFT[0], corner[1] + SHADOW_SHIFT[1]))
    alpha = alpha.filter(ImageFilter.GaussianBlur(SHADOW_BLUR)).point([round(value * SHADOW_ALPHA) for value in range(256)])
    canvas.paste(Image.new("RGB", canvas.size, (20, 20, 24)), (0, 0), alpha)

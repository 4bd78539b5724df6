"""Draws pictures into a folder, some of them changed copies of others, for `benchmarks/dedupe.py`.

    python benchmarks/corpus/draw_copies.py FOLDER --rows 10000

Every picture is drawn from its own seed: soft colours under ellipses and boxes, 240 to 512 pixels a side, stored as JPEG. One in four is
no original but a copy that one of `CHANGES` was done to. `FOLDER/truth.json` says which: a list of [copy, original, change].
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps


def cropped(image: Image.Image) -> Image.Image:
    """5 % of the width and of the height cut away, half on each side."""
    x, y = image.width / 40, image.height / 40
    return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda image: image,  # and saved at quality 40
    "half_size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "cropped": cropped,
    "mirrored": ImageOps.mirror,
    "rotated_90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated_180": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "rotated_270": lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def drawn(seed: int) -> Image.Image:
    """The picture of a seed."""
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(240, 513, 2))
    cells = rng.integers(40, 216, (int(rng.integers(3, 9)), int(rng.integers(3, 9)), 3)).astype(np.uint8)
    image = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for number in range(int(rng.integers(4, 10))):
        x, y, w, h = (float(value) for value in rng.random(4) * (width, height, width / 2, height / 2))
        colour = tuple(int(value) for value in rng.integers(20, 230, 3))
        (pen.ellipse if number % 2 else pen.rectangle)((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
    return image


def write(order: tuple[str, int, str | None]) -> None:
    """One file: an original, or a copy that a change was done to."""
    path, seed, change = order
    image = drawn(seed) if change is None else CHANGES[change](drawn(seed))
    image.save(path, "JPEG", quality=40 if change == "recompressed" else 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    pictures = options.folder / "pictures"
    pictures.mkdir(parents=True)
    copies = options.rows // 4
    names = list(CHANGES)
    orders = [(f"{seed:06d}.jpg", seed, None) for seed in range(options.rows - copies)]
    truth = [(f"c{seed:06d}.jpg", f"{seed:06d}.jpg", names[seed % len(names)]) for seed in range(copies)]
    orders += [(copy, int(original.removesuffix(".jpg")), change) for copy, original, change in truth]
    with multiprocessing.Pool() as pool:
        pool.map(write, [(str(pictures / name), seed, change) for name, seed, change in orders], chunksize=64)
    (options.folder / "truth.json").write_text(json.dumps(truth))


if __name__ == "__main__":
    main()

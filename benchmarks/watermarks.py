"""How many planted watermarks does the scorer `watermark` read, how many does it see where there are none, and what does it cost?

"shutterstock", "alamy stock photo", "gettyimages" and "iStock" are drawn with Pillow on emoji of the starter corpus and on generated
gradients with grain: solid, half transparent, or tiled and faint. Clean pictures are other emoji (letters, clocks and signs among them) and
such gradients. A hit is a mark at the default policy's `min_watermark_score`; which agency is named does not matter.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from unclip_curation.policy import load_policy
from unclip_curation.schemas import WATERMARK_SCHEMA
from unclip_curation.scorers.watermark import load_watermark
from unclip_pairs.images import decode, encode_png
from unclip_pairs.store import Store
from unclip_starter.build import FULL, build_starter

TEXTS = ("shutterstock", "alamy stock photo", "gettyimages", "iStock")
ALPHA = {"solid": 255, "half": 128, "tiled": 110}
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home with the starter corpus; built anew when left out (under a minute)")
    parser.add_argument("--count", type=int, default=60, help="marked pictures of each kind, and twice as many clean ones")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.home is None:
            build_starter(Store(Path(folder)), FULL)
        read(sorted(((options.home or Path(folder)) / "starter/site/pictures/256").glob("*/*")), options.count)


def read(paths: Sequence[Path], count: int) -> None:
    """Marks so many of the pictures of each kind, reads them and prints the figures."""
    rng, score, least = random.Random(0), load_watermark(), load_policy().number("min_watermark_score")
    pool = [ground(rng, path) for path in rng.sample(paths, 5 * count)]
    sets = {kind: [marked(pool.pop(), kind, rng) for _ in range(count)] for kind in ALPHA} | {"clean": pool}
    hits, began = dict[str, int](), time.perf_counter()
    shares = list[float]()
    for kind, pictures in sets.items():
        scored = score([{"__key__": str(number), "png": encode_png(image, 1)} for number, image in enumerate(pictures)])
        rows = pa.Table.from_pylist(list(scored), schema=WATERMARK_SCHEMA).to_pylist()
        hits[kind] = sum(row["watermark_score"] >= least for row in rows)
        shares += [row["text_share"] for row in rows] if kind == "clean" else []
        print(f"figure marks_found_{kind} {hits[kind]} of {len(pictures)}", flush=True)
    total = sum(map(len, sets.values()))
    found = sum(hits[kind] for kind in ALPHA)
    print(f"figure watermark_cost {1000 * (time.perf_counter() - began) / total:.0f} ms/picture/core")
    print(f"figure clean_with_text_over_0.1 {float((np.array(shares) > 0.1).mean()):.3f} share")
    print(f"ratio watermark_recall {found / (3 * count):.3f}")
    print(f"ratio watermark_precision {found / max(1, found + hits['clean']):.3f}")


def ground(rng: random.Random, path: Path) -> Image.Image:
    """An emoji, or (one in four) a gradient with grain."""
    if rng.random() < 0.75:
        return decode(path.read_bytes())
    noise = np.random.default_rng(rng.randrange(2**32))
    ramp = np.linspace(noise.integers(0, 128, 3), noise.integers(128, 256, 3), SIDE)[None].repeat(SIDE, 0)
    return Image.fromarray((ramp + noise.normal(0, 6, ramp.shape)).clip(0, 255).astype(np.uint8))


def marked(image: Image.Image, kind: str, rng: random.Random) -> Image.Image:
    layer, text, size = Image.new("RGBA", image.size), rng.choice(TEXTS), rng.randint(16, 30)
    pen, colour = ImageDraw.Draw(layer), (*rng.choice([(255, 255, 255), (0, 0, 0), (128, 128, 128)]), ALPHA[kind])
    width = ImageFont.load_default(size=size).getlength(text)
    if kind == "tiled":
        spots = [(x + 30 * (y // 60 % 2), y + 10) for y in range(0, image.height, 60) for x in range(-40, image.width, int(width) + 24)]
    else:
        size = int(size * min(1, (image.width - 8) / width))
        width = ImageFont.load_default(size=size).getlength(text)
        spots = [(rng.uniform(0, max(0, image.width - width)), rng.uniform(0, image.height - 1.3 * size))]
    for spot in spots:
        pen.text(spot, text, font=ImageFont.load_default(size=size), fill=colour)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


if __name__ == "__main__":
    main()

"""Does the face scorer leave drawings alone, and what do it and the identities cost?

Drawings are the emoji of the starter corpus in a home (five designs) and the cartoon folders of Debian's Tux Paint stamps; photographs are
the photographic folders of the same stamps, looked at one by one, and some that ship with scikit-image, on which nobody is. The stamps
come through `apt-get download`, scikit-image into an environment of its own; nothing of them is kept. `WEIGHTS` of the measure were fitted
on the same kind of pictures, so half of each set, drawn by a fixed seed, is fitted anew here and the other half is judged by that fit.
"""

import argparse
import io
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

from unclip_curation.policy import load_policy
from unclip_curation.scorers.faces import Detect, load_detector, measure_faces
from unclip_curation.scorers.identities import load_recogniser
from unclip_curation.scorers.photographs import SIDE, texture
from unclip_pairs.images import decode
from unclip_pairs.store import Store
from unclip_starter.build import FULL, build_starter

PHOTOGRAPHED = (
    *("animals/birds", "food/fruit", "plants/flowers", "food/vegetables", "animals/mammals/bovines", "animals/mammals/rodents"),
    *("animals/mammals/cats", "animals/mammals/deer", "animals/mammals/equines", "food/nuts", "plants/mushrooms", "hobbies/music/string"),
)
DRAWN = (
    *("food/fruit/cartoon", "animals/insects/cartoon", "town/houses/cartoon", "clothes", "clothes/hats", "vehicles/locomotive/cartoon"),
    *("town/roadsigns", "symbols/chess", "town/monuments/cartoon", "seasonal/hanukkah"),
)
NATURAL = ("chelsea", "coffee", "rocket", "motorcycle_left", "brick", "grass", "gravel", "coins", "clock_motion")  # nobody is on them
Pictures = dict[str, list[Image.Image]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home with the starter corpus; built anew when left out (under a minute)")
    parser.add_argument("--emoji", type=int, default=400, help="pictures of each emoji design")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = (
            emoji(options.home or built(Path(folder, "home")), options.emoji)
            | stamps(Path(folder))
            | {"photograph_skimage": natural(Path(folder))}
        )
    judge_kind(sets)
    judge_faces(sets)


def stored(path: Path) -> Image.Image:
    """As the crawler stores it: longest side at most 256."""
    image = decode(path.read_bytes())
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def built(home: Path) -> Path:
    """The home, the starter corpus in it."""
    build_starter(Store(home), FULL)
    return home


def emoji(home: Path, count: int) -> Pictures:
    folders = sorted((home / "starter/site/pictures/256").iterdir())
    return {f"drawn_{folder.name}": [stored(path) for path in chosen(sorted(folder.iterdir()), count)] for folder in folders}


def chosen(paths: Sequence[Path], count: int) -> list[Path]:
    return random.Random(0).sample(list(paths), min(count, len(paths)))


def stamps(folder: Path) -> Pictures:
    subprocess.run(
        ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "tuxpaint-stamps-default"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder / "stamps")], check=True)
    root = folder / "stamps/usr/share/tuxpaint/stamps"
    kinds = {"photograph_stamps": PHOTOGRAPHED, "drawn_stamps": DRAWN}
    return {name: [stored(path) for part in parts for path in sorted((root / part).glob("*.png"))] for name, parts in kinds.items()}


def natural(folder: Path) -> list[Image.Image]:
    target = folder / "skimage"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(target)]
    subprocess.run([*command, "scikit-image"], check=True)
    paths = (path for path in sorted((target / "skimage/data").iterdir()) if path.stem in NATURAL)
    return [stored(path) for path in paths]


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return decode(buffer.getvalue())


def judge_kind(sets: Pictures) -> None:
    """Prints, by set, the share of the half not fitted on that is called photographed; lossless, and as small JPEG of quality 75."""
    fitted: list[tuple[bool, float, tuple[float, ...]]] = []
    judged: dict[str, list[tuple[float, ...]]] = {}
    for name, pictures in sets.items():
        order = random.Random(1).sample(range(len(pictures)), len(pictures))
        for place, number in enumerate(order):
            for kind, image in (("", pictures[number]), ("_jpeg75", recompressed(pictures[number]))):
                measured = texture(image)
                if place % 2 and measured:
                    fitted.append((name.startswith("photograph"), 0.25 if kind else 1.0, measured))
                elif measured:
                    judged.setdefault(name + kind, []).append(measured)
    model = LogisticRegression(class_weight="balanced", C=10, max_iter=5000)
    model.fit([row for _, _, row in fitted], [photo for photo, _, _ in fitted], sample_weight=[weight for _, weight, _ in fitted])
    print(f"weights {np.round(model.coef_[0], 2).tolist()} constant {np.ravel(model.intercept_)[0]:.2f}")
    for name, rows in judged.items():
        share = float((model.predict_proba(rows)[:, 1] >= load_policy().number("min_photo_score")).mean())
        print(f"figure called_photographed_{name} {share:.3f} of {len(rows)}")


def judge_faces(sets: Pictures) -> None:
    """Prints how many pictures of each set have a face, how many of those the default policy would blur, and what it all costs."""
    detect, policy = load_detector(), load_policy()
    seconds, total = 0.0, 0
    for name, pictures in sets.items():
        faced = blurred = 0
        for image in pictures:
            began = time.perf_counter()
            row = measure_faces(image, detect(image))
            seconds, total = seconds + time.perf_counter() - began, total + 1
            if any(box["score"] >= policy.number("min_face_score") for box in row["boxes"]):
                faced, blurred = faced + 1, blurred + (row["photo_score"] >= policy.number("min_photo_score"))
        print(f"figure faces_{name} {faced} of {len(pictures)}, blurred {blurred}")
    print(f"figure faces_cost {1000 * seconds / total:.1f} ms/picture/core")
    compare(detect, sets)


def compare(detect: Detect, sets: Pictures) -> None:
    """Prints the cosines of drawn faces of at least 60 pixels with one another: why drawings are not held against identities."""
    recognise, vectors, began = load_recogniser(), list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]](), time.perf_counter()
    drawn = (image for name, pictures in sets.items() if name.startswith("drawn") for image in pictures)
    for image in drawn:
        faces = detect(image)
        clear = faces[faces[:, 2:4].min(axis=1) >= 60][:1]
        vectors += [recognise(image, clear)] if len(clear) else []
        if len(vectors) == 60:
            break
    rows = np.concatenate(vectors)
    pairs = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    over = float((pairs >= load_policy().number("min_identity_cosine")).mean())
    print(f"figure drawn_faces_alike_by_sface {over:.3f} of {len(pairs)} pairs, median cosine {np.median(pairs):.2f}")
    print(f"figure identities_cost {1000 * (time.perf_counter() - began) / len(rows):.0f} ms/face/core, detection included")


if __name__ == "__main__":
    main()

"""Blurring: what leaves in place of a face that the policy neither drops nor keeps.

A face is cut down to `CELLS` x `CELLS` mean colours and drawn smoothly from those, so the larger the face, the stronger the blur, and
nothing finer can be won back. Pixels outside the box, which is made a little larger first, stay as they are.
"""

from collections.abc import Mapping, Sequence

from PIL import Image
from pyarrow.parquet import read_schema, read_table

from unclip_pairs.images import decode, encode_png
from unclip_pairs.shards import Sample, picture_bytes
from unclip_pairs.store import Store

CELLS = 5
MARGIN = 0.15
Box = Mapping[str, float]
Blurs = dict[str, list[Box]]


def area(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels of what is blurred for a box (0..1 of the picture), `MARGIN` larger on each side."""
    width, height = size
    left, right = box["x"] - MARGIN * box["width"], box["x"] + (1 + MARGIN) * box["width"]
    top, bottom = box["y"] - MARGIN * box["height"], box["y"] + (1 + MARGIN) * box["height"]
    return max(0, int(left * width)), max(0, int(top * height)), min(width, int(right * width) + 1), min(height, int(bottom * height) + 1)


def blurred(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """A copy of the picture in which what lies in the boxes cannot be recognised."""
    result = image.convert("RGB") if image.mode != "RGB" else image.copy()
    for box in boxes:
        left, top, right, bottom = area(box, image.size)
        if right > left and bottom > top:
            face = result.crop((left, top, right, bottom))
            cells = face.resize((min(CELLS, face.width), min(CELLS, face.height)), Image.Resampling.BOX)
            result.paste(cells.resize(face.size, Image.Resampling.BICUBIC), (left, top))
    return result


def blurred_sample(sample: Sample, boxes: Sequence[Box]) -> Sample:
    """The sample with its picture blurred, as PNG: the only format here that keeps all other pixels."""
    rest = {name: value for name, value in sample.items() if name not in ("png", "jpg", "webp", "image", "found_faces")}
    return rest | {"png": encode_png(blurred(decode(picture_bytes(sample)), boxes))}


def blurred_where_asked(sample: Sample, blurs: Blurs) -> Sample:
    """The sample, its faces blurred when there are areas for its key."""
    areas = blurs.get(sample["__key__"])
    return blurred_sample(sample, areas) if areas else sample


def read_blurs(store: Store, stage: str) -> Blurs:
    """The boxes by key that a decided stage wants blurred; none when the stage is not decided or was decided before there were any."""
    path = store.path(f"verdicts/{stage}.parquet")
    if not store.exists(f"verdicts/{stage}.json") or "blur" not in read_schema(path).names:
        return {}
    rows = read_table(path, columns=["key", "blur"])
    rows = rows.filter(rows["blur"].is_valid())
    return dict(zip(rows["key"].to_pylist(), rows["blur"].to_pylist(), strict=True))

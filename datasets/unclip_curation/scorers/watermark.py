"""Watermark scorer: how much of a picture is text, what it says, and whether that is a stock agency's mark.

PP-OCRv4 through rapidocr-onnxruntime: its detector looks at every picture, its recogniser only at the boxes found. The marks are a
closed list; recognised text rarely has every letter right, so a likeness is measured and the policy says from where on it counts.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.schemas import WATERMARK_SCHEMA
from unclip_curation.scorers.faces import to_bgr
from unclip_curation.scorers.pictures import picture
from unclip_curation.scorers.runner import Row, Score, Scorer, each
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.shards import Sample

PACKAGE = "rapidocr-onnxruntime==1.4.4"
SIDE = 512
MAX_SIDE = 1024
MOST_BOXES = 40
Corners = NDArray[np.float32]  # [4, 2]: x, y
# by the name that the column `watermark` gives: how the mark is written, letters and digits alone
MARKS = {
    "123rf": ("123rf", "123rfcom"),
    "adobe stock": ("adobestock",),
    "alamy": ("alamy", "alamystockphoto"),
    "bigstock": ("bigstock", "bigstockphoto"),
    "can stock photo": ("canstockphoto",),
    "colourbox": ("colourbox",),
    "depositphotos": ("depositphotos",),
    "dreamstime": ("dreamstime",),
    "fotolia": ("fotolia",),
    "freepik": ("freepik",),
    "getty images": ("gettyimages",),
    "istock": ("istock", "istockphoto"),
    "pixta": ("pixta",),
    "pond5": ("pond5",),
    "shutterstock": ("shutterstock",),
    "stocksy": ("stocksy",),
    "vecteezy": ("vecteezy",),
    "all rights reserved": ("allrightsreserved",),
    "do not copy": ("donotcopy",),
    "for review only": ("forreviewonly", "forpreviewonly"),
    "sample image": ("sampleimage", "samplephoto"),
    "stock photo": ("stockphoto",),
    "watermark": ("watermark", "watermarked"),
}
# below this many letters a mark must be read as a word of its own, exactly; a piece of a longer one counts from here on
_SURE = 7
_NOT_WRITTEN = re.compile(r"[^a-z0-9]+")


def find_mark(texts: Sequence[tuple[str, float]]) -> tuple[str | None, float]:
    """The mark that the recognised texts (each with the recogniser's certainty, 0..1) resemble most, and how much (0..1): likeness of the
    letters times certainty. None and 0 when nothing is alike."""
    best: tuple[float, str | None] = (0.0, None)
    for text, certainty in texts:
        for name, forms in MARKS.items():
            likeness = max(_likeness(text.lower(), form) for form in forms)
            best = max(best, (likeness * certainty, name), key=lambda one: one[0])
    return (best[1], best[0]) if best[0] > 0 else (None, 0.0)


def _likeness(text: str, form: str) -> float:
    """0..1; below 0.8 nothing, because two words share that much by chance."""
    if len(form) < _SURE:
        return float(form in (_NOT_WRITTEN.sub("", word) for word in text.split()))
    plain = _NOT_WRITTEN.sub("", text)
    if form in plain:
        return 1.0
    if len(plain) < _SURE:
        return 0.0
    ratio = max(SequenceMatcher(None, form, part, autojunk=False).ratio() for part in _windows(plain, len(form)))
    return ratio if ratio >= 0.8 else 0.0


def _windows(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(max(1, len(text) - length + 1))]


class TextReader(Protocol):
    """What is called of a `RapidOCR`."""

    def auto_text_det(self, img: NDArray[np.uint8], /) -> tuple[list[Corners] | None, object]:
        """The corners of the boxes with text, None where there are none."""
        ...

    def get_crop_img_list(self, img: NDArray[np.uint8], dt_boxes: list[Corners], /) -> list[NDArray[np.uint8]]:
        """The boxes, cut out and upright."""
        ...

    def text_rec(self, img_list: list[NDArray[np.uint8]], /) -> tuple[Sequence[tuple[str, float]], object]:
        """The text of each and how sure it is."""
        ...


def load_watermark() -> Score:
    """The batch function of the watermark scorer; a picture that cannot be decoded has no values. `UserError` without its package."""
    if find_spec("rapidocr_onnxruntime") is None:
        raise UserError(f"the scorer 'watermark' needs {PACKAGE}; run `make setup`, or pip install --no-deps {PACKAGE}")
    from rapidocr_onnxruntime import RapidOCR

    reader = RapidOCR(det_limit_side_len=SIDE, intra_op_num_threads=1, inter_op_num_threads=1)

    def score(sample: Sample) -> Row:
        try:
            return {"key": sample["__key__"]} | read_text(picture(sample), reader)
        except DecodeError:
            return {"key": sample["__key__"]}

    return each(score)


def read_text(image: Image.Image, reader: TextReader) -> dict[str, object]:
    """The columns of `WATERMARK_SCHEMA` but `key`, by a `RapidOCR`."""
    small = image.convert("RGB")
    if max(small.size) > MAX_SIDE:
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    pixels = to_bgr(small)
    corners, _ = reader.auto_text_det(pixels)
    if not corners:
        return {"text_share": 0.0, "text_boxes": 0, "text": "", "watermark": None, "watermark_score": 0.0}
    found, _ = reader.text_rec(reader.get_crop_img_list(pixels, corners[:MOST_BOXES]))
    texts = [(text, float(certainty)) for text, certainty in found if text.strip()]
    mark, likeness = find_mark(texts)
    return {
        "text_share": _covered(corners, small.size),
        "text_boxes": len(corners),
        "text": " ".join(text for text, _ in texts),
        "watermark": mark,
        "watermark_score": likeness,
    }


def _covered(corners: Sequence[Corners], size: tuple[int, int]) -> float:
    """The share of the picture under the boxes; where two overlap it counts once."""
    import cv2

    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    cv2.fillPoly(mask, [np.asarray(box, dtype=np.int32) for box in corners], (1,))
    return float(mask.mean())


WATERMARK = Scorer(
    name="watermark",
    version=1,
    schema=WATERMARK_SCHEMA,
    load=load_watermark,
    about="share of the picture under text, the text, and stock agencies' marks, by OCR",
    cost="250 ms a picture",
    stage="rule",
)

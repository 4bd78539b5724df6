"""Face scorer: where faces are, how large they are, and whether the picture is drawn or photographed.

The detector is YuNet (Wu et al., 2023) through OpenCV. It finds drawn faces as readily as photographed ones, so what becomes of a face is
decided by the policy, which knows the kind of picture and its host.
"""

from collections.abc import Callable
from typing import NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.schemas import FACES_SCHEMA
from unclip_curation.scorers.face_networks import YUNET, network
from unclip_curation.scorers.photographs import photo_score
from unclip_curation.scorers.pictures import picture
from unclip_curation.scorers.runner import Row, Score, Scorer, each
from unclip_pairs.images import DecodeError
from unclip_pairs.shards import Sample

LEAST_SCORE = 0.5
SIDE = 640
_OVERLAP, _MOST = 0.3, 200
Detect = Callable[[Image.Image], NDArray[np.float32]]


def load_detector() -> Detect:
    """A function from a picture to its faces, float32 [faces, 15]: x, y, width, height, five landmarks (x, y) and the score (0.5..1), in
    pixels of the picture, the surest first. `UserError` when the network is missing.

    OpenCV keeps to one thread from then on: pictures are scored by as many processes as there are cores.
    """
    import cv2

    cv2.setNumThreads(1)
    yunet = cv2.FaceDetectorYN.create(str(network(*YUNET)), "", (SIDE, SIDE), LEAST_SCORE, _OVERLAP, _MOST)

    def detect(image: Image.Image) -> NDArray[np.float32]:
        small, scale = image, 1.0
        if max(image.size) > SIDE:
            small, scale = image.copy(), max(image.size) / SIDE
            small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        yunet.setInputSize(small.size)
        _, rows = yunet.detect(to_bgr(small))
        # OpenCV gives None where there is nobody, though its types say otherwise
        faces = np.array(cast(object, rows) if rows is not None else [], dtype=np.float32).reshape(-1, 15)  # pyright: ignore[reportUnnecessaryComparison]
        faces[:, :14] *= scale
        return faces[np.argsort(-faces[:, 14], kind="stable")]

    return detect


def to_bgr(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] as OpenCV wants it."""
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8)[:, :, ::-1])


def found_in(sample: Sample, detect: Detect) -> NDArray[np.float32]:
    """The faces of a sample; they stay there for the next scorer. `DecodeError` as in `picture`."""
    if "found_faces" not in sample:
        sample["found_faces"] = detect(picture(sample))
    return sample["found_faces"]


def boxes(faces: NDArray[np.float32], size: tuple[int, int]) -> list[dict[str, float]]:
    """Each face's box inside the picture of `size`, in 0..1 of its width and height, with the detector's score."""
    sides = np.array(size, dtype=np.float32)
    first = np.clip(faces[:, 0:2] / sides, 0, 1)
    extent = np.clip((faces[:, 0:2] + faces[:, 2:4]) / sides, 0, 1) - first
    names = ("x", "y", "width", "height", "score")
    return [dict(zip(names, map(float, row), strict=True)) for row in np.column_stack([first, extent, np.clip(faces[:, 14], 0, 1)])]


class FaceMeasures(TypedDict):
    """The columns of `FACES_SCHEMA` but `key`; the sizes are there where a face is."""

    boxes: list[dict[str, float]]
    face_count: int
    photo_score: float
    smallest_face: NotRequired[float]
    largest_face: NotRequired[float]
    smallest_face_pixels: NotRequired[int]
    largest_face_pixels: NotRequired[int]


def measure_faces(image: Image.Image, faces: NDArray[np.float32]) -> FaceMeasures:
    """The columns of `FACES_SCHEMA` but `key`."""
    found = boxes(faces, image.size)
    shares = [box["width"] * box["height"] for box in found]
    pixels = [round(min(box["width"] * image.width, box["height"] * image.height)) for box in found]
    measures: FaceMeasures = {"boxes": found, "face_count": len(found), "photo_score": photo_score(image)}
    if found:
        measures["smallest_face"], measures["largest_face"] = min(shares), max(shares)
        measures["smallest_face_pixels"], measures["largest_face_pixels"] = min(pixels), max(pixels)
    return measures


def load_faces() -> Score:
    """The batch function of the face scorer; a picture that cannot be decoded has no values."""
    detect = load_detector()

    def score(sample: Sample) -> Row:
        try:
            return {"key": sample["__key__"]} | measure_faces(picture(sample), found_in(sample, detect))
        except DecodeError:
            return {"key": sample["__key__"]}

    return each(score)


FACES = Scorer(
    name="faces",
    version=1,
    schema=FACES_SCHEMA,
    load=load_faces,
    about="faces (boxes, sizes, scores) by YuNet, and whether the picture is drawn or photographed",
    cost="8 ms a picture",
    stage="rule",
)

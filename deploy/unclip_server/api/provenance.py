"""Provenance: what a painted PNG says of itself, written so that equal pictures stay equal bytes."""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unclip_release.lineage import PREFIX

GENERATOR = "unclip"
_LEVEL = 6


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a picture comes from. `model` is the label of its version (`unclip/3`), `manifest` the digest of its bundle.

    There is no time and no name of an asker in it: the first would make equal pictures differ, the second is nobody's business.
    """

    model: str
    manifest: str
    seed: int
    prompt: str
    guidance: float | None = None

    @property
    def texts(self) -> dict[str, str]:
        """The text chunks in their order. The prompt itself stays out, its sha256 lets its author prove it."""
        told = {"generator": GENERATOR, "model": self.model, "manifest": self.manifest, "seed": str(self.seed)}
        told |= {"prompt_sha256": hashlib.sha256(self.prompt.encode()).hexdigest()}
        return told | ({} if self.guidance is None else {"guidance": repr(self.guidance)}) | {"ai_generated": "true"}


def png_bytes(image: Image.Image, provenance: Provenance) -> bytes:
    """The picture as PNG with its provenance in text chunks; the same picture and provenance give the same bytes."""
    info = PngInfo()
    for name, value in provenance.texts.items():
        info.add_text(f"{PREFIX}{name}", value)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", pnginfo=info, compress_level=_LEVEL)
    return buffer.getvalue()

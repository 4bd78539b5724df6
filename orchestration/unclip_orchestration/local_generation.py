"""Studio of the command line: the champion with the same doors before and behind it as on the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from unclip_assets.settings import Environment
from unclip_pairs.errors import UserError
from unclip_pairs.home import open_store
from unclip_pairs.images import DecodeError, decode
from unclip_pairs.store import Store
from unclip_release.registry import ModelVersion, open_registry
from unclip_safety.outputs import Check, checker
from unclip_safety.policy import load_policy
from unclip_safety.prompts import Refuse, refuser
from unclip_server.api.provenance import Provenance, png_bytes

if TYPE_CHECKING:
    from unclip_generation.pipeline import UnCLIP

SIZES = (256, 512, 1024)


@dataclass(frozen=True)
class Studio:
    """A loaded champion, its version, and the two doors."""

    unclip: "UnCLIP"
    version: ModelVersion
    refuse: Refuse
    check: Check

    def generate(self, prompt: str, seeds: Sequence[int], size: int, out: Path) -> list[Path]:
        """One PNG per seed; `UserError` when the policy refuses the prompt or a picture, and nothing is written then."""
        refusal = self.refuse(prompt)
        if refusal is not None:
            raise UserError(refusal.message)
        images = self.unclip.generate([prompt] * len(seeds), list(seeds), size=sized(size))
        return self.leave(images, seeds, prompt, out)

    def variations(self, picture: Path, seeds: Sequence[int], size: int, out: Path) -> list[Path]:
        """One PNG per seed that means what the picture means; errors as in `generate`, and for a file that is no picture."""
        image = opened(picture)
        if self.check(image) is not None:
            raise UserError(f"{picture} is not allowed by the content policy; choose another picture")
        images = self.unclip.variations([image] * len(seeds), list(seeds), size=sized(size))
        return self.leave(images, seeds, f"variation of {picture.name}", out)

    def leave(self, images: Sequence[Image.Image], seeds: Sequence[int], prompt: str, out: Path) -> list[Path]:
        """Writes the pictures with where they come from, if all of them may leave."""
        for image in images:
            refusal = self.check(image)
            if refusal is not None:
                raise UserError(f"{refusal.message} (another --seed may help)")
        store = open_store(out)
        return [self.put(store, image, seed, prompt) for image, seed in zip(images, seeds, strict=True)]

    def put(self, store: Store, image: Image.Image, seed: int, prompt: str) -> Path:
        """One PNG, named by its seed."""
        provenance = Provenance(model=self.version.label, manifest=self.version.digest, seed=seed, prompt=prompt)
        store.write_bytes(f"{seed}.png", png_bytes(image, provenance))
        return store.path(f"{seed}.png")


def sized(size: int) -> int:
    """The size when it can be painted; `UserError` when not."""
    if size not in SIZES:
        raise UserError(f"--size is {size}; choose one of {', '.join(map(str, SIZES))}")
    return size


def opened(picture: Path) -> Image.Image:
    """The picture, its bounds checked; `UserError` when there is none."""
    try:
        return decode(picture.read_bytes())
    except DecodeError as error:
        raise UserError(f"{picture} cannot be used ({error.detail}); give a PNG, JPEG, WebP or GIF picture") from error
    except OSError as error:
        raise UserError(f"{picture} cannot be read ({error.strerror}); give the path of a picture") from error


def open_studio(environment: Environment) -> Studio:
    """The champion, loaded; `UserError` when there is none."""
    version, folder = open_registry(open_store(environment.home), environment.tracking_uri).champion()
    # loading torch takes seconds: only once there is something to load
    from unclip_generation.pipeline import UnCLIP

    policy = load_policy()
    return Studio(UnCLIP.load(folder), version, refuser(policy), checker(policy))

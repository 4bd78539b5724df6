"""Image service: a request for pictures from its prompt to its PNGs, the same for the server and the command line.

Policy refusal, painting, output check and provenance are decided here once; callers add what is theirs (keys and queues, or files).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from unclip_pairs.errors import UserError
from unclip_pairs.progress import Progress, silent
from unclip_pairs.store import Store
from unclip_release.model_version import ModelVersion
from unclip_release.provenance import Provenance, png_bytes
from unclip_release.registry import open_registry
from unclip_safety.outputs import Check, open_checker
from unclip_safety.policy import PolicyFiles, Refusal, load_policy
from unclip_safety.prompts import Refuse, refuser

SIZES = (256, 512, 1024)


class PolicyRefused(UserError):
    """The policy refuses a prompt or a picture. The message is the policy's; the category is for the audit log only."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.category = refusal.category


def _passed(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise PolicyRefused(refusal)


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """One picture for each seed. `guidance` is the decoder's scale, None the model's own; `source` is the picture that is varied."""

    prompt: str
    seeds: tuple[int, ...]
    size: int = 256
    guidance: float | None = None
    source: Image.Image | None = None

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UserError(f"size is {self.size}; choose one of {', '.join(map(str, SIZES))}")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """The version's label (`unclip/3`), the digest of its bundle, and when it was promoted (unix seconds, 0 when it was not)."""

    label: str
    manifest: str
    created: int = 0


Paint = Callable[[Sequence[str], Sequence[int], int, float | None], list[Image.Image]]
"""(prompts, seeds, size, guidance) to one RGB picture for each seed."""
Vary = Callable[[Image.Image, Sequence[int], int], list[Image.Image]]
"""(picture, seeds, size) to one RGB picture for each seed."""


@dataclass(frozen=True, kw_only=True)
class Painter:
    """A loaded generator: `paint` from prompts, `vary` from a picture."""

    paint: Paint
    vary: Vary


@dataclass(frozen=True, kw_only=True)
class ImageService:
    """A loaded model behind the two checks of the policy."""

    model: ServedModel
    painter: Painter
    refuse: Refuse
    check: Check

    def admit(self, request: PictureRequest) -> None:
        """`PolicyRefused` when the policy does not allow the prompt, or the picture that is to be varied."""
        _passed(self.refuse(request.prompt))
        if request.source is not None:
            _passed(self.check(request.source))

    def finish(self, request: PictureRequest, images: Sequence[Image.Image]) -> list[bytes]:
        """The PNG bytes of painted pictures, with their provenance; `PolicyRefused` when a single one may not leave."""
        for image in images:
            _passed(self.check(image))
        return [png_bytes(image, self._provenance(request, seed)) for image, seed in zip(images, request.seeds, strict=True)]

    def generate(self, request: PictureRequest, progress: Progress = silent) -> list[bytes]:
        """One PNG for each seed; `PolicyRefused` when the policy does not allow the request or a picture."""
        self.admit(request)
        if request.source is not None:
            images = self.painter.vary(request.source, request.seeds, request.size)
        else:
            images = self.painter.paint([request.prompt] * len(request.seeds), request.seeds, request.size, request.guidance)
        progress(0, None, "checking the pictures")
        return self.finish(request, images)

    def _provenance(self, request: PictureRequest, seed: int) -> Provenance:
        return Provenance(model=self.model.label, manifest=self.model.manifest, seed=seed, prompt=request.prompt, guidance=request.guidance)


def load_painter(folder: Path, progress: Progress = silent) -> Painter:
    """The painter over a bundle. torch is imported and the networks are loaded now; `progress` hears of the painting in percent."""
    from unclip_generation.loading import open_generator

    generator = open_generator(folder)

    def report(stage: str, fraction: float) -> None:
        progress(round(100 * fraction), 100, f"painting: {stage}")

    def paint(prompts: Sequence[str], seeds: Sequence[int], size: int, guidance: float | None) -> list[Image.Image]:
        own = generator.guidance
        scales = own if guidance is None else replace(own, decoder=guidance)
        return generator.generate(prompts, seeds, size, scales, progress=report)

    def vary(image: Image.Image, seeds: Sequence[int], size: int) -> list[Image.Image]:
        return generator.variations([image] * len(seeds), seeds, size, progress=report)

    return Painter(paint=paint, vary=vary)


def served_model(version: ModelVersion) -> ServedModel:
    """What is said of the champion."""
    promoted = version.tags.get("promoted", "")
    created = int(datetime.fromisoformat(promoted).timestamp()) if promoted else 0
    return ServedModel(label=version.label, manifest=version.digest, created=created)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Where the model is found, and the files of the policies."""

    store: Store
    tracking_uri: str | None = None
    policies: PolicyFiles = field(default_factory=PolicyFiles)


def open_service(settings: ServiceSettings, progress: Progress = silent, first: PictureRequest | None = None) -> ImageService:
    """The champion, loaded, behind the policy. The prompt of a `first` request is admitted before anything is loaded.

    `UserError` when no version is champion, its bundle is damaged, the policy is wrong, or a scorer of the output check cannot be loaded.
    """
    from unclip_curation.policy import load_policy as load_curation

    refuse = refuser(load_policy(settings.policies.safety))
    load_curation(settings.policies.curation)  # a wrong file is refused before seconds of loading
    _passed(refuse(first.prompt) if first is not None else None)
    progress(0, None, "opening the champion")
    version, folder = open_registry(settings.store, settings.tracking_uri).champion()
    progress(0, None, f"loading the networks of {version.label}")
    with ThreadPoolExecutor(1) as beside:  # the check's networks are read while torch is imported
        check = beside.submit(open_checker, settings.policies)
        painter = load_painter(folder, progress)
        return ImageService(model=served_model(version), painter=painter, refuse=refuse, check=check.result())
